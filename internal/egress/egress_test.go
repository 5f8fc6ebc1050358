package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"code.dny.dev/ssrf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGuardClosesSpecialBlocksAtBothEdges(t *testing.T) {
	g := New(nil, nil)
	for _, b := range blocks {
		p := netip.MustParsePrefix(b.prefix)
		t.Run(b.name+"/first", func(t *testing.T) { requireBlocked(t, g, p.Masked().Addr()) })
		t.Run(b.name+"/last", func(t *testing.T) { requireBlocked(t, g, last(p)) })
		for side, addr := range map[string]string{"before": b.before, "after": b.after} {
			if addr == "" {
				continue
			}
			t.Run(b.name+"/"+side, func(t *testing.T) {
				a := netip.MustParseAddr(addr)
				if side == "before" {
					require.Equal(t, p.Masked().Addr(), a.Next(), "not the neighbour")
				} else {
					require.Equal(t, last(p), a.Prev(), "not the neighbour")
				}
				requireAllowed(t, g, a)
			})
		}
	}
}

func TestGuardClosesHostileAddresses(t *testing.T) {
	g := New(nil, nil)
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) { requireBlocked(t, g, netip.MustParseAddr(tt.addr)) })
	}
}

func TestGuardAllowsPublicAddresses(t *testing.T) {
	g := New(nil, nil)
	for _, tt := range public {
		t.Run(tt.name, func(t *testing.T) { requireAllowed(t, g, netip.MustParseAddr(tt.addr)) })
	}
}

func TestZeroGuardAllowsNothing(t *testing.T) {
	for name, g := range map[string]*Guard{"zero": {}, "nil": nil, "lists only": {allowed: prefixes("0.0.0.0/0", "::/0")}} {
		t.Run(name, func(t *testing.T) {
			requireBlocked(t, g, netip.MustParseAddr("8.8.8.8"))
			requireBlocked(t, g, netip.MustParseAddr("2606:4700:4700::1111"))
			requireBlocked(t, g, netip.MustParseAddr("127.0.0.1"))
			require.ErrorIs(t, g.Host("example.com"), ErrBlocked)
			require.ErrorIs(t, g.Check(netip.Addr{}), ErrBlocked)
		})
	}
}

func TestAllowedAndDeniedNetworks(t *testing.T) {
	list := func(s ...string) []string { return s }
	tests := []struct {
		name            string
		allowed, denied []string
		open, closed    []string
	}{
		{"an allowed network opens, its neighbours don't", list("10.1.0.0/16"), nil,
			list("10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3"), list("10.0.255.255", "10.2.0.0", "127.0.0.1")},
		{"an allowed single address", list("127.0.0.1", "::1"), nil,
			list("127.0.0.1", "::1", "::ffff:127.0.0.1"), list("127.0.0.2", "::", "::2")},
		{"a mapped prefix is an IPv4 prefix", list("::ffff:127.0.0.0/104"), nil,
			list("127.0.0.1", "127.255.255.255", "::ffff:127.0.0.1"), list("10.0.0.1", "::1")},
		{"a mapped single address is an IPv4 address", list("::ffff:10.0.0.1"), nil,
			list("10.0.0.1", "::ffff:10.0.0.1"), list("10.0.0.2")},
		{"all mapped addresses are all of IPv4", list("::ffff:0:0/96"), nil,
			list("10.0.0.1", "127.0.0.1", "255.255.255.255"), list("::1", "::127.0.0.1")},
		{"all of IPv6 is nothing of IPv4", list("::/0"), nil,
			list("::1", "fd00::1", "fe80::1", "2002:7f00:1::1", "3ffe::1", "2600:1f00::5efe:10.0.0.1"),
			list("127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "::1%lo", "fe80::1%lo")},
		{"all of IPv4 is nothing of IPv6", list("0.0.0.0/0"), nil,
			list("127.0.0.1", "::ffff:127.0.0.1", "168.63.129.16", "169.254.169.254"), list("::1", "64:ff9b::8.8.8.8", "::127.0.0.1")},
		{"NAT64 stays closed when listed", list("64:ff9b::/96", "64:ff9b:1::/48", "64:ff9b::8.8.8.8"), nil,
			nil, list("64:ff9b::8.8.8.8", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1")},
		{"a wire server asked for", list("168.63.129.16"), nil, list("168.63.129.16"), nil},
		{"denied closes the public", nil, list("8.8.8.0/24", "2606:4700::/32"),
			list("8.8.4.4", "2001:4860::1"), list("8.8.8.8", "::ffff:8.8.8.8", "2606:4700:4700::1111")},
		{"denied wins over allowed, narrower", list("10.0.0.0/8"), list("10.0.0.5"), list("10.0.0.4"), list("10.0.0.5", "::ffff:10.0.0.5")},
		{"denied wins over allowed, wider", list("10.0.0.5"), list("10.0.0.0/8"), nil, list("10.0.0.5", "10.0.0.4")},
		{"denied wins over the same", list("10.0.0.0/8", "fd00::/8"), list("10.0.0.0/8", "fd00::/8"), nil, list("10.0.0.5", "fd00::1")},
		{"denied mapped closes IPv4", list("127.0.0.0/8"), list("::ffff:127.0.0.1"),
			list("127.0.0.2"), list("127.0.0.1", "::ffff:127.0.0.1")},
		{"denied IPv4 closes mapped", list("::ffff:127.0.0.0/104"), list("127.0.0.1"), list("127.0.0.2"), list("::ffff:127.0.0.1")},
		{"denied metadata within an allowed network", list("fc00::/7"), list("fd00:ec2::/32"), list("fd00::1"), list("fd00:ec2::254")},
		{"denied IPv6 leaves IPv4", nil, list("::/0"), list("8.8.8.8", "::ffff:8.8.8.8"), list("2606:4700:4700::1111")},
		{"everything denied", list("127.0.0.1"), list("0.0.0.0/0", "::/0"), nil, list("127.0.0.1", "8.8.8.8", "2606:4700:4700::1111")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := New(prefixes(tt.allowed...), prefixes(tt.denied...))
			for _, addr := range tt.open {
				requireAllowed(t, g, netip.MustParseAddr(addr))
			}
			for _, addr := range tt.closed {
				requireBlocked(t, g, netip.MustParseAddr(addr))
			}
		})
	}
}

func TestAllowedNetworkIsDialled(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)

	tests := []struct {
		name            string
		allowed, denied []netip.Prefix
		host            string
		dialled         bool
	}{
		{"closed by default", nil, nil, "127.0.0.1", false},
		{"allowed", prefixes("127.0.0.0/8"), nil, "127.0.0.1", true},
		{"allowed as a mapped prefix", prefixes("::ffff:127.0.0.0/104"), nil, "127.0.0.1", true},
		{"allowed, dialled as a mapped address", prefixes("127.0.0.1"), nil, "::ffff:127.0.0.1", true},
		{"allowed and denied", prefixes("127.0.0.0/8"), prefixes("127.0.0.1"), "127.0.0.1", false},
		{"allowed and denied, dialled as a mapped address", prefixes("127.0.0.0/8"), prefixes("127.0.0.1"), "::ffff:127.0.0.1", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := net.Dialer{ControlContext: New(tt.allowed, tt.denied).Control}
			conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(tt.host, port))
			if !tt.dialled {
				require.ErrorIs(t, err, ErrBlocked)
				return
			}
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		})
	}
}

func TestControlTakesOnlyTCPAndAddresses(t *testing.T) {
	g := New(nil, nil)
	tests := []struct {
		name, network, address string
		allowed                bool
	}{
		{"IPv4", "tcp4", "8.8.8.8:443", true},
		{"IPv6", "tcp6", "[2606:4700:4700::1111]:443", true},
		{"any port", "tcp4", "8.8.8.8:22", true},
		{"the highest port", "tcp4", "8.8.8.8:65535", true},
		{"IPv4 on an IPv6 socket", "tcp6", "8.8.8.8:443", true},
		{"private IPv4 on an IPv6 socket", "tcp6", "10.0.0.1:443", false},
		{"tcp without its version", "tcp", "8.8.8.8:443", false},
		{"udp", "udp4", "8.8.8.8:443", false},
		{"raw IP", "ip4:icmp", "8.8.8.8", false},
		{"unix socket", "unix", "/var/run/docker.sock", false},
		{"no network", "", "8.8.8.8:443", false},
		{"a name", "tcp4", "example.com:443", false},
		{"no port", "tcp4", "8.8.8.8", false},
		{"no address", "tcp4", ":443", false},
		{"nothing", "tcp4", "", false},
		{"port out of range", "tcp4", "8.8.8.8:65536", false},
		{"named port", "tcp4", "8.8.8.8:https", false},
		{"no brackets", "tcp6", "2606:4700:4700::1111:443", false},
		{"leading zeros", "tcp4", "010.8.8.8:443", false},
		{"short form", "tcp4", "8.8:443", false},
		{"IPv4 with a zone", "tcp4", "8.8.8.8%lo:443", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := g.Control(t.Context(), tt.network, tt.address, nil)
			if tt.allowed {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrBlocked)
		})
	}
}

func TestErrorsNameTheAddressAndTheRemedy(t *testing.T) {
	g := New(nil, prefixes("8.8.8.0/24"))
	tests := []struct {
		name string
		err  error
		want []string
	}{
		{"reserved", g.Check(netip.MustParseAddr("10.0.0.1")), []string{"10.0.0.1 is", "reserved", "WithAllowedNetworks"}},
		{"mapped", g.Check(netip.MustParseAddr("::ffff:10.0.0.1")), []string{": 10.0.0.1 is", "WithAllowedNetworks"}},
		{"wire server", g.Check(netip.MustParseAddr("168.63.129.16")), []string{"168.63.129.16", "Azure", "WithAllowedNetworks"}},
		{"6bone", g.Check(netip.MustParseAddr("3ffe::1")), []string{"3ffe::1", "6bone", "WithAllowedNetworks"}},
		{"ISATAP", g.Check(netip.MustParseAddr("2600::5efe:a00:1")), []string{"2600::5efe:a00:1", "ISATAP", "WithAllowedNetworks"}},
		{"denied", g.Check(netip.MustParseAddr("8.8.8.8")), []string{"8.8.8.8", "8.8.8.0/24", "WithDeniedNetworks"}},
		{"NAT64", g.Check(netip.MustParseAddr("64:ff9b::1")), []string{"64:ff9b::1", "NAT64", "of its own"}},
		{"zone", g.Check(netip.MustParseAddr("fe80::1%a\nb")), []string{`"fe80::1%a\nb"`, "zone", "without one"}},
		{"zero address", g.Check(netip.Addr{}), []string{"zero netip.Addr"}},
		{"zero guard", (&Guard{}).Check(netip.MustParseAddr("8.8.8.8")), []string{"zero Guard", "New"}},
		{"network", g.Control(t.Context(), "udp4", "8.8.4.4:53", nil), []string{`"udp4"`, `"8.8.4.4:53"`, "tcp4"}},
		{"name", g.Control(t.Context(), "tcp4", "example.com:443", nil), []string{`"example.com:443"`, "ControlContext"}},
		{"number", g.Host("127.1"), []string{`"127.1"`, "four decimal numbers"}},
		{"no host", g.Host(""), []string{`""`, "URL"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.ErrorIs(t, tt.err, ErrBlocked)
			require.True(t, strings.HasPrefix(tt.err.Error(), "signpost: address is not allowed: "), tt.err.Error())
			for _, want := range tt.want {
				assert.ErrorContains(t, tt.err, want)
			}
		})
	}
}

func TestHostRefusesNumbers(t *testing.T) {
	g := New(nil, nil)
	tests := []struct {
		name, host string
		ok         bool
	}{
		{"name", "example.com", true},
		{"name with a trailing dot", "example.com.", true},
		{"single label", "localhost", true},
		{"underscore", "_hooks.example.com", true},
		{"punycode", "xn--bcher-kva.example", true},
		{"other scripts", "bücher.例え", true},
		{"other script with a digit", "büro1", true},
		{"other script after a fullwidth dot", "bücher．example", true},
		{"digits in the first label", "127.example", true},
		{"digits within the last label", "example.c0m", true},
		{"hexadecimal letters without 0x", "example.abc", true},
		{"0x and no hexadecimal", "example.0xg", true},
		{"exponent", "1e9", true},
		{"negative", "-1", true},
		{"nip.io", "127.0.0.1.nip.io", true},
		{"IPv4, for Control to judge", "127.0.0.1", true},
		{"IPv6, for Control to judge", "::1", true},
		{"mapped, for Control to judge", "::ffff:127.0.0.1", true},
		{"zone, for Control to judge", "fe80::1%eth0", true},

		{"empty", "", false},
		{"dot", ".", false},
		{"dots", "...", false},
		{"fullwidth dot", "．", false},
		{"one decimal number", "2130706433", false},
		{"zero", "0", false},
		{"too large a number", "99999999999999999999", false},
		{"one hexadecimal number", "0x7f000001", false},
		{"upper-case hexadecimal", "0X7F000001", false},
		{"one octal number", "017700000001", false},
		{"nothing but 0x", "0x", false},
		{"two parts", "127.1", false},
		{"three parts", "127.0.1", false},
		{"five parts", "127.0.0.0.1", false},
		{"hexadecimal part", "0x7f.1", false},
		{"last part hexadecimal", "127.0.0.0x1", false},
		{"octal part", "0177.0.0.1", false},
		{"leading zeros", "127.000.000.001", false},
		{"an octet too large", "127.0.0.256", false},
		{"not quite octal", "09", false},
		{"trailing dot", "127.0.0.1.", false},
		{"trailing dots", "127.1..", false},
		{"number and trailing dot", "2130706433.", false},
		{"name and number", "example.1", false},
		{"name and 0x", "example.0x", false},
		{"empty parts", "127..1", false},
		{"IPv6 with a short IPv4", "::ffff:127.1", false},
		{"fullwidth digits", "１２７.１", false},
		{"fullwidth dots", "127。0。0．1", false},
		{"name, ideographic dot and number", "example。1", false},
		{"name, fullwidth dot and number", "example．0x7f", false},
		{"name, halfwidth dot and number", "example｡1", false},
		{"circled digit", "127.①", false},
		{"superscript digit", "127.¹", false},
		{"mathematical digits", "127.𝟏", false},
		{"fullwidth x", "0ｘ7f", false},
		{"soft hyphen after", "127.1\u00ad", false},
		{"soft hyphen before", "127.\u00ad1", false},
		{"soft hyphen as last label", "127.0.0.1.\u00ad", false},
		{"variation selector as last label", "127.0.0.1.\ufe0f", false},
		{"not UTF-8", "127.\xff1", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := g.Host(tt.host)
			if tt.ok {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrBlocked)
		})
	}
}

func TestParsePrefixes(t *testing.T) {
	tests := []struct {
		name, in, want string // want: the prefix, or what the error says
		ok             bool
	}{
		{"IPv4", "10.0.0.0/8", "10.0.0.0/8", true},
		{"IPv6", "fd00::/8", "fd00::/8", true},
		{"all of IPv4", "0.0.0.0/0", "0.0.0.0/0", true},
		{"all of IPv6", "::/0", "::/0", true},
		{"single IPv4 address", "127.0.0.1", "127.0.0.1/32", true},
		{"single IPv6 address", "::1", "::1/128", true},
		{"single address with its length", "127.0.0.1/32", "127.0.0.1/32", true},
		{"mapped", "::ffff:127.0.0.0/104", "::ffff:127.0.0.0/104", true},
		{"NAT64, which may be denied", "64:ff9b::/96", "64:ff9b::/96", true},

		{"host bits", "10.1.2.3/8", `"10.0.0.0/8" for all of it or "10.1.2.3"`, false},
		{"IPv6 host bits", "fd00::1/8", `"fd00::/8" for all of it or "fd00::1"`, false},
		{"zone", "fe80::1%eth0", "leave the zone out", false},
		{"zone in a prefix", "fe80::%eth0/64", "leave the zone out", false},
		{"zone after a prefix", "fe80::/64%eth0", "leave the zone out", false},
		{"empty", "", "write it like", false},
		{"name", "localhost", "write it like", false},
		{"short", "10/8", "write it like", false},
		{"too long a prefix", "10.0.0.0/33", "write it like", false},
		{"no length", "10.0.0.0/", "write it like", false},
		{"mask", "10.0.0.0/255.0.0.0", "write it like", false},
		{"port", "127.0.0.1:80", "write it like", false},
		{"brackets", "[::1]", "write it like", false},
		{"space", " 10.0.0.0/8", "write it like", false},
		{"leading zeros", "010.0.0.0/8", "write it like", false},
		{"two in one", "10.0.0.0/8,127.0.0.0/8", "write it like", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParsePrefixes(tt.in)
			if tt.ok {
				require.NoError(t, err)
				require.Equal(t, []netip.Prefix{netip.MustParsePrefix(tt.want)}, got)
				return
			}
			require.Nil(t, got)
			require.ErrorContains(t, err, `signpost: network "`+tt.in+`"`)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestParsePrefixesReportsEveryBadOne(t *testing.T) {
	got, err := ParsePrefixes("10.0.0.0/8", "nonsense", "10.0.0.1/8", "::1", "fe80::1%lo")
	require.Nil(t, got)
	for _, bad := range []string{`"nonsense"`, `"10.0.0.1/8"`, `"fe80::1%lo"`} {
		require.ErrorContains(t, err, bad)
	}
	require.Equal(t, 2, strings.Count(err.Error(), "\n"), "one line for each of the three:\n%v", err)

	got, err = ParsePrefixes()
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestNewCopiesItsLists(t *testing.T) {
	allowed, denied := prefixes("10.0.0.0/8"), prefixes("8.8.8.8")
	g := New(allowed, denied)
	allowed[0], denied[0] = netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("9.9.9.9/32")
	requireAllowed(t, g, netip.MustParseAddr("10.0.0.1"))
	requireBlocked(t, g, netip.MustParseAddr("127.0.0.1"))
	requireBlocked(t, g, netip.MustParseAddr("8.8.8.8"))
}

func TestEmptiedListsOfSSRFOpenNothingNear(t *testing.T) {
	v4, v6, unicast := ssrf.IPv4DeniedPrefixes, ssrf.IPv6DeniedPrefixes, ssrf.IPv6GlobalUnicast
	t.Cleanup(func() {
		ssrf.IPv4DeniedPrefixes, ssrf.IPv6DeniedPrefixes, ssrf.IPv6GlobalUnicast = v4, v6, unicast
	})
	before := New(nil, nil)
	saved := slices.Clone(v4)
	clear(v4) // in place, as a careless sort or filter would
	t.Cleanup(func() { copy(v4, saved) })
	ssrf.IPv4DeniedPrefixes, ssrf.IPv6DeniedPrefixes, ssrf.IPv6GlobalUnicast = nil, nil, netip.MustParsePrefix("::/0")

	for _, b := range blocks {
		requireBlocked(t, before, netip.MustParsePrefix(b.prefix).Addr())
	}
	for _, tt := range hostile {
		requireBlocked(t, before, netip.MustParseAddr(tt.addr))
	}
	after := New(nil, nil)
	for _, addr := range []string{
		"0.0.0.0", "10.0.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.0.1", "168.63.129.16", "224.0.0.1", "255.255.255.255",
		"::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::1", "100::1", "3ffe::1", "5f00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1",
	} {
		requireBlocked(t, after, netip.MustParseAddr(addr))
	}
}

func TestGuardIsSafeForConcurrentUse(t *testing.T) {
	g := New(prefixes("10.0.0.0/8"), prefixes("10.0.0.1"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				assert.NoError(t, g.Control(t.Context(), "tcp4", "10.0.0.2:443", nil))
				assert.NoError(t, g.Control(t.Context(), "tcp6", "[2606:4700:4700::1111]:443", nil))
				assert.ErrorIs(t, g.Control(t.Context(), "tcp4", "10.0.0.1:443", nil), ErrBlocked)
				assert.ErrorIs(t, g.Host("127.1"), ErrBlocked)
			}
		})
	}
	wg.Wait()
}

func BenchmarkControl(b *testing.B) {
	g := New(prefixes("10.0.0.0/8"), prefixes("10.0.0.1"))
	b.ReportAllocs()
	for b.Loop() {
		if err := g.Control(b.Context(), "tcp6", "[2606:4700:4700::1111]:443", nil); err != nil {
			b.Fatal(err)
		}
	}
}

// requireAllowed asks only the guard: a test dials nobody but itself.
func requireAllowed(t *testing.T, g *Guard, addr netip.Addr) {
	t.Helper()
	require.NoError(t, g.Check(addr))
	for _, port := range []uint16{1, 80, 443, 8080, 65535} {
		require.NoError(t, g.Control(t.Context(), network(addr), netip.AddrPortFrom(addr, port).String(), nil))
	}
}

// requireBlocked asks the guard and has a real dialer ask it. Should the guard be wrong, errOpen ends the
// dial where the guard would have, before connect(2).
func requireBlocked(t *testing.T, g *Guard, addr netip.Addr) {
	t.Helper()
	require.ErrorIs(t, g.Check(addr), ErrBlocked)
	require.ErrorIs(t, g.Control(t.Context(), network(addr), netip.AddrPortFrom(addr, 443).String(), nil), ErrBlocked)

	errOpen := errors.New("the guard let it through")
	asked := false
	d := net.Dialer{ControlContext: func(ctx context.Context, network, address string, c syscall.RawConn) error {
		asked = true
		if err := g.Control(ctx, network, address, c); err != nil {
			return err
		}
		return errOpen
	}}
	conn, err := d.DialContext(t.Context(), "tcp", netip.AddrPortFrom(addr, 443).String())
	require.Nil(t, conn)
	require.Error(t, err)
	require.NotErrorIs(t, err, errOpen)
	if !asked && addr.Unmap().Is6() {
		t.Logf("no IPv6 here to dial with: %v", err)
		return
	}
	require.ErrorIs(t, err, ErrBlocked)
}

// network is the one that a net.Dialer names to Control for addr.
func network(addr netip.Addr) string {
	if addr.Unmap().Is4() {
		return "tcp4"
	}
	return "tcp6"
}

// last returns the last address of p.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

func prefixes(cidrs ...string) []netip.Prefix {
	p, err := ParsePrefixes(cidrs...)
	if err != nil {
		panic(err)
	}
	return p
}
