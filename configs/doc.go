// Package configs owns the configuration file that brokerd ships with.
//
// internal/config reads it when the daemon is given no file; the installation
// copies the same file to /etc/brokerd. Anybody may read it. It is text and
// judges nothing: what it means, and whether it is right, internal/config
// decides as for every other file.
package configs
