package main

import (
	"encoding/binary"
	"fmt"
)

// Sizes of the messages. Numbers are little endian, prices are in ticks.
const (
	quoteBytes = 24
	orderBytes = 16
)

// symbols is how many instruments the feed has; the tag of a quote says which it
// is about, from 1 on.
const symbols = 8

// quote is a message of ring md.
type quote struct {
	number   uint64 // counts from 0
	bid, ask int64
}

func (q quote) put(b []byte) {
	binary.LittleEndian.PutUint64(b, q.number)
	binary.LittleEndian.PutUint64(b[8:], uint64(q.bid))
	binary.LittleEndian.PutUint64(b[16:], uint64(q.ask))
}

func readQuote(b []byte) (quote, error) {
	if len(b) != quoteBytes {
		return quote{}, fmt.Errorf("a quote has %d bytes, got %d", quoteBytes, len(b))
	}
	return quote{
		binary.LittleEndian.Uint64(b),
		int64(binary.LittleEndian.Uint64(b[8:])),
		int64(binary.LittleEndian.Uint64(b[16:])),
	}, nil
}

// order is a message of the rings orders and fills; its tag is the strategy's
// number. The price is negative for a sale.
type order struct {
	id    uint64 // the strategy's own count
	price int64
}

func (o order) put(b []byte) {
	binary.LittleEndian.PutUint64(b, o.id)
	binary.LittleEndian.PutUint64(b[8:], uint64(o.price))
}

func readOrder(b []byte) (order, error) {
	if len(b) != orderBytes {
		return order{}, fmt.Errorf("an order has %d bytes, got %d", orderBytes, len(b))
	}
	return order{binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:]))}, nil
}
