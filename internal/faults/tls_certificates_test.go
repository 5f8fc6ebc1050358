package faults

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// An authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool // with the authority alone
}

// trusted is the authority that the dispatchers of these tests trust. Its certificates are made once: making keys is slow
// under the race detector.
var trusted = sync.OnceValue(newAuthority)

// goodCertificate is one that a dispatcher trusts.
var goodCertificate = sync.OnceValue(func() tls.Certificate { return trusted().issue(nil) })

var serials atomic.Int64

func newAuthority() *authority {
	key := newKey()
	template := template("An authority of tests")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	c := sign(template, template, key, key)
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return &authority{certificate: c, key: key, pool: pool}
}

// issue makes a certificate for 127.0.0.1, valid for some days, in which edit may change what it likes.
func (a *authority) issue(edit func(*x509.Certificate)) tls.Certificate {
	key, template := newKey(), template("A receiver of tests")
	if edit != nil {
		edit(template)
	}
	c := sign(template, a.certificate, key, a.key)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}

// selfSigned makes a certificate that vouches for itself.
func selfSigned() tls.Certificate {
	key, template := newKey(), template("A receiver of tests")
	c := sign(template, template, key, key)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serials.Add(1)),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-100 * time.Hour),
		NotAfter:     time.Now().Add(100 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return c
}
