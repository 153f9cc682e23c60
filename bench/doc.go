// Package bench measures Sluice against baselines in one run. It is a module
// of its own, so that the peers stay out of the product's go.mod. `just bench`
// runs it; every limit stands beside the figure as the metric "limit".
package bench
