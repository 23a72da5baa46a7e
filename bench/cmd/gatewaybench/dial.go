package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
)

// tlsConfig is that of one of the two hosts, a or b, with the certificates of dir; nil when dir is "".
func tlsConfig(dir, host string) (*tls.Config, error) {
	if dir == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(dir+"/"+host+".pem", dir+"/"+host+"-key.pem")
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(dir + "/ca.pem")
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s/ca.pem holds no certificate", dir)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ServerName: "a",
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	}, nil
}

// dial connects over TCP, with TLS when there is a config.
func dial(address string, config *tls.Config) (net.Conn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil || config == nil {
		return c, err
	}
	return tls.Client(c, config), nil
}

// acceptOne listens, says where, and takes the first connection.
func acceptOne() (net.Conn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	ready(l.Addr().String())
	return l.Accept()
}
