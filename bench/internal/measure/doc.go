// Package measure runs two variants in turn (A B A B ...) and keeps the pairs in
// which both runs count.
//
// The machine's state drifts within seconds, so only runs made next to each
// other are compared: the ratio is taken pair by pair. Nothing is thrown away:
// dropped runs stay in the raw results with the reason. Commands under bench/cmd
// may call it.
package measure
