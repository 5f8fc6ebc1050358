package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"code.dny.dev/ssrf"
	"github.com/stretchr/testify/require"
)

// FuzzCheck holds a Guard against a guardian of ssrf's and against what New promises of its lists.
func FuzzCheck(f *testing.F) {
	add := func(addr netip.Addr) {
		b := addr.As16()
		f.Add(addr.Is4(), binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), addr.Zone())
	}
	for _, b := range blocks {
		p := netip.MustParsePrefix(b.prefix)
		add(p.Addr())
		add(last(p))
		add(last(p).Next().Unmap()) // the zero Addr after the very last one
	}
	for _, tt := range hostile {
		add(netip.MustParseAddr(tt.addr))
	}
	for _, tt := range public {
		add(netip.MustParseAddr(tt.addr))
	}
	closed := New(nil, nil)
	everything := prefixes("0.0.0.0/0", "::/0")
	open := New(everything, nil)

	f.Fuzz(func(t *testing.T, is4 bool, hi, lo uint64, zone string) {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:8], hi)
		binary.BigEndian.PutUint64(b[8:], lo)
		addr := netip.AddrFrom16(b).WithZone(zone)
		if is4 {
			addr = netip.AddrFrom4([4]byte(b[12:]))
		}
		err := closed.Check(addr)
		if err != nil {
			require.ErrorIs(t, err, ErrBlocked)
		}
		if addr.Zone() != "" {
			require.Error(t, err)
			require.ErrorIs(t, open.Check(addr), ErrBlocked)
			return
		}
		if !strings.ContainsAny(zone, "]%") { // which no address of net's has
			require.Equal(t, err, closed.Control(t.Context(), network(addr), netip.AddrPortFrom(addr, 443).String(), nil))
		}

		plain := addr.Unmap()
		require.Equal(t, closed.Check(plain), err, "mapped and plain differ")
		if refusal := ssrf.New().SafeAddr(plain); refusal != nil {
			require.Error(t, err, "ssrf: %v", refusal)
		}
		if err == nil {
			require.True(t, plain.IsGlobalUnicast() && !plain.IsPrivate())
		}

		one := []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}
		require.ErrorIs(t, New(everything, one).Check(addr), ErrBlocked, "denied wins")
		if len(plain.AsSlice()) == 16 && hi>>32 == 0x64ff9b && (hi<<32 == 0 && lo>>32 == 0 || hi<<32>>48 == 1) {
			require.ErrorIs(t, open.Check(addr), ErrBlocked, "NAT64")
			return
		}
		require.NoError(t, open.Check(addr))
		require.NoError(t, New(one, nil).Check(addr))
	})
}

// FuzzControl: whatever reaches Control, it lets through nothing but an address that Check does.
func FuzzControl(f *testing.F) {
	for _, address := range []string{"8.8.8.8:443", "[2606:4700:4700::1111]:443", "127.0.0.1:80", "[::1]:80", "[fe80::1%lo]:80", ":80", "", "example.com:443", "[::ffff:127.0.0.1]:1"} {
		f.Add("tcp4", address)
		f.Add("tcp6", address)
		f.Add("udp4", address)
	}
	g := New(nil, nil)
	f.Fuzz(func(t *testing.T, network, address string) {
		if err := g.Control(t.Context(), network, address, nil); err != nil {
			require.ErrorIs(t, err, ErrBlocked)
			return
		}
		require.Contains(t, []string{"tcp4", "tcp6"}, network)
		ap, err := netip.ParseAddrPort(address)
		require.NoError(t, err)
		require.NoError(t, g.Check(ap.Addr()))
	})
}

// FuzzHost holds Host against the WHATWG URL standard, and against net/http's own mapping for hosts outside ASCII.
func FuzzHost(f *testing.F) {
	for _, host := range []string{
		"", ".", "..", "example.com", "example.com.", "localhost", "xn--bcher-kva.example", "bücher.例え", "büro1", "1e9", "example.0xg",
		"127.0.0.1", "::1", "fe80::1%eth0", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "0x7f.1", "0X7F000001", "017700000001", "0x", "example.0x", "0177.0.0.1",
		"127.0.0.256", "09", "127.1..", "127..1", "::ffff:127.1", "１２７.１", "127。0。0．1", "127.①", "127.𝟏", "0ｘ7f", "127.1\u00ad", "127.0.0.1.\u00ad", "127.0.0.1.\ufe0f",
		"127.\xff1", "127.1\u200d", "٣٢", "㍘", "ａ１", "100.0.0+000",
	} {
		f.Add(host)
	}
	g := New(nil, nil)
	f.Fuzz(func(t *testing.T, host string) {
		err := g.Host(host)
		if err != nil {
			require.ErrorIs(t, err, ErrBlocked)
		}
		if _, e := netip.ParseAddr(host); e == nil {
			require.NoError(t, err, "an address is for Check")
			return
		}
		if err == nil {
			require.False(t, endsInNumber(host), "the WHATWG URL standard reads a number")
			require.False(t, endsInNumber(lookedUp(host)), "net/http looks up the number %q", lookedUp(host))
			return
		}
		if ascii(host) {
			name := strings.TrimRight(host, ".")
			require.True(t, name == "" || endsInNumber(name), "no number, but %v", err)
		}
	})
}

// FuzzParsePrefixes: what is taken is a network as it is written, and New's lists hold it.
func FuzzParsePrefixes(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8", "127.0.0.1", "::1", "::/0", "0.0.0.0/0", "::ffff:127.0.0.0/104", "10.0.0.1/8", "fe80::1%lo", "fe80::/64%lo", "10/8", "", "/", "64:ff9b::/96"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParsePrefixes(s)
		if err != nil {
			require.Nil(t, got)
			require.True(t, strings.HasPrefix(err.Error(), "signpost: network "), err.Error())
			return
		}
		require.Len(t, got, 1)
		p := got[0]
		require.True(t, p.IsValid())
		require.Equal(t, p.Masked(), p)
		again, err := ParsePrefixes(p.String())
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.ErrorIs(t, New(got, got).Check(p.Addr()), ErrBlocked)
		require.ErrorIs(t, New(got, got).Check(last(p)), ErrBlocked)
	})
}

// endsInNumber is the "ends in a number checker" of https://url.spec.whatwg.org/#ends-in-a-number-checker, step by
// step, with its IPv4 number parser.
func endsInNumber(host string) bool {
	parts := strings.Split(host, ".")
	if parts[len(parts)-1] == "" {
		if len(parts) == 1 {
			return false
		}
		parts = parts[:len(parts)-1]
	}
	s := parts[len(parts)-1]
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' }) {
		return true
	}
	if s == "" || strings.ContainsAny(s, "+-") { // big.Int takes a sign
		return false
	}
	base := 10
	switch {
	case len(s) >= 2 && (s[:2] == "0x" || s[:2] == "0X"):
		s, base = s[2:], 16
	case len(s) >= 2 && s[0] == '0':
		s, base = s[1:], 8
	}
	if s == "" {
		return true
	}
	_, ok := new(big.Int).SetString(s, base)
	return ok
}

// lookedUp returns what net/http would have its dialer resolve for host.
func lookedUp(host string) string {
	if ascii(host) || strings.ContainsAny(host, ":[]") { // the same, or no host of a URL
		return host
	}
	name := host
	tr := &http.Transport{DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
		name, _, _ = net.SplitHostPort(address)
		return nil, errors.New("not dialled")
	}}
	res, err := tr.RoundTrip(&http.Request{Method: http.MethodPost, URL: &url.URL{Scheme: "http", Host: host}, Header: http.Header{}})
	if err == nil {
		res.Body.Close()
	}
	return name
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}
