package main

import "slices"

// payloadBytes is the size of every message and record.
const payloadBytes = 64

// warmupShare is the share of the first samples that is left out.
const warmupShare = 10

// ages are the ages of messages when they were received, in ns.
type ages []int64

func newAges(count int) *ages {
	a := make(ages, 0, count)
	return &a
}

func (a *ages) add(ns int64) { *a = append(*a, ns) }

func (a *ages) median() float64 {
	kept := slices.Sorted(slices.Values((*a)[len(*a)/warmupShare:]))
	return float64(kept[len(kept)/2])
}
