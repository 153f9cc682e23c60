// Package tree reads the files of an App Suite administrator: it walks the roots,
// reads what is there when it has settled, watches for changes, and keeps the last
// good form of each file, also for the next start. It knows files and what they
// say, and nothing of properties, subjects or values that win.
package tree
