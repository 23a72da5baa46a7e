// Package gateway connects the rings of this host with those of others.
package gateway
