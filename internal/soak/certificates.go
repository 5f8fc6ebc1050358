package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"
)

// certificates are what the TLS hosts show, made anew for each run.
type certificates struct {
	root         []byte // DER
	good, lapsed tls.Certificate
}

func newCertificates() (*certificates, error) {
	now := time.Now()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "soak"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	root, err := x509.CreateCertificate(rand.Reader, authority, authority, key.Public(), key)
	if err != nil {
		return nil, err
	}
	leaf := func(serial int64, until time.Time) (tls.Certificate, error) {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return tls.Certificate{}, err
		}
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(serial), NotBefore: now.Add(-48 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}, authority, own.Public(), key)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: own}, err
	}
	c := &certificates{root: root}
	if c.good, err = leaf(2, now.AddDate(1, 0, 0)); err != nil {
		return nil, err
	}
	c.lapsed, err = leaf(3, now.Add(-24*time.Hour))
	return c, err
}

// config shows the good certificate, or the one that has expired while expired says so.
func (c *certificates) config(expired func() bool) *tls.Config {
	lapsed := &tls.Config{
		Certificates:           []tls.Certificate{c.lapsed},
		SessionTicketsDisabled: true, // who resumes a session isn't shown the certificate
	}
	return &tls.Config{
		Certificates: []tls.Certificate{c.good},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if expired() {
				return lapsed, nil
			}
			return nil, nil
		},
	}
}
