// Package gateway runs two and three brokerds on one host and links them over
// the loopback, plain and with certificates that brokerctl pki makes: mirrors and
// their readers, reloads, refusals and their reasons on both sides, figures.
//
// It owns the daemons and folders it makes. It knows the commands, their
// configuration and package client, as an operator does, and nothing of
// internal/gateway.
package gateway
