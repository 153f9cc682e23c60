//go:build race

package remote

// raceDetector makes everything five times as slow.
const raceDetector = true
