// Package feeds runs the built brokerd against exchanges that the tests play: raw
// TCP streams in all framings, in and out, dialled and listened for, with the
// recorded feed; ends and bad frames in the middle, silence, peers that are slow,
// a daemon that is killed, and a way over two hosts.
//
// It owns the daemons, folders and sockets it makes, and knows of the product what
// an operator does: configuration, brokerctl, log, metrics and package client.
package feeds
