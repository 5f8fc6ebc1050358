// Package egress decides which addresses may be dialled.
//
// A service that POSTs to URLs its customers choose is a way into its own network: a URL, or a name
// that resolves differently from one moment to the next, may lead to a loopback port, a database or
// a cloud's metadata service. A [Guard] is therefore asked last, in the dialer's ControlContext:
// after DNS, for every address tried, with the very address connect(2) would be given.
//
// It is closed by default. What IANA's special-purpose address registries list isn't dialled, as
// code.dny.dev/ssrf has it, nor is the little that this leaves and that is no receiver's either:
// Azure's wire server, the former 6bone, ISATAP. The few blocks that the registries list as globally
// reachable (AS112, AMT, ORCHIDv2, drone identifiers, NAT64) are home to no receiver and stay closed
// with the rest. Ports are not restricted.
package egress

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"code.dny.dev/ssrf"
)

// ErrBlocked is what every error of a [Guard] wraps. Trying again doesn't help: the answer depends
// on the address and the configuration alone.
var ErrBlocked = errors.New("signpost: address is not allowed")

// Guard says which addresses may be dialled. The zero Guard, like a nil one, allows nothing; [New]
// makes one that is of use. A Guard never changes and is safe for concurrent use.
type Guard struct {
	registries      *ssrf.Guardian // what IANA reserves; nil in the zero Guard
	allowed, denied []netip.Prefix // IPv4-mapped ones as IPv4
}

// New returns a Guard for the public internet and the allowed networks, without the denied ones.
//
// An allowed network is open in full, whatever is closed by default within it: 169.254.0.0/16 is
// also 169.254.169.254, and fc00::/7 also AWS's fd00:ec2::254. Deny what should stay closed; denied
// wins. Two things no network opens, ::/0 included: an address with a zone, which prefixes can't
// express, and NAT64, which reaches any IPv4 address past the rules for IPv4.
//
// An IPv4-mapped address is the IPv4 address it holds, for that is what is dialled: the prefix
// ::ffff:127.0.0.0/104 is 127.0.0.0/8, ::ffff:0:0/96 is all of IPv4, and ::/0 none of it.
func New(allowed, denied []netip.Prefix) *Guard {
	return &Guard{
		registries: ssrf.New(),
		allowed:    unmapped(allowed),
		denied:     unmapped(denied),
	}
}

// Check returns nil if addr may be dialled, and else an error that wraps [ErrBlocked] and says why
// not and which option would change it.
func (g *Guard) Check(addr netip.Addr) error {
	if err := g.made(); err != nil {
		return err
	}
	if !addr.IsValid() {
		// ssrf takes the zero Addr, neither IPv4 nor IPv6, for an IPv4 address on no list.
		return fmt.Errorf("%w: it is the zero netip.Addr: check one that netip.ParseAddr returned", ErrBlocked)
	}
	if addr.Zone() != "" {
		// Before Unmap, which drops zones. Quoted, since a zone may hold any character.
		return fmt.Errorf("%w: %q has a zone, which means a link of this machine: use an address without one", ErrBlocked, addr)
	}
	addr = addr.Unmap()
	if p, ok := find(g.denied, addr); ok {
		return fmt.Errorf("%w: %s is in %s: take that out of WithDeniedNetworks to reach it", ErrBlocked, addr, p)
	}
	if p, ok := find(nat64[:], addr); ok {
		return fmt.Errorf("%w: %s is in %s, NAT64, which WithAllowedNetworks doesn't open: reach the host by an IPv4 or IPv6 address of its own",
			ErrBlocked, addr, p)
	}
	if _, ok := find(g.allowed, addr); ok {
		return nil
	}
	if why := g.closed(addr); why != "" {
		return fmt.Errorf("%w: %s is %s: list it in WithAllowedNetworks to reach it", ErrBlocked, addr, why)
	}
	return nil
}

// Control is [Guard.Check] as the ControlContext of a [net.Dialer]: nothing is sent to an address
// it refuses. Networks other than tcp4 and tcp6, and what isn't an IP address with a port, are
// refused as well.
func (g *Guard) Control(_ context.Context, network, address string, _ syscall.RawConn) error {
	// An IPv4 address under tcp6 is legitimate: net uses such a socket if the dialer's LocalAddr asks for it.
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("%w: %q is to be dialled over %q: use tcp4 or tcp6", ErrBlocked, address, network)
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q is not an IP address and a port: use Control as a net.Dialer's ControlContext", ErrBlocked, address)
	}
	return g.Check(ap.Addr())
}

// Host returns an error that wraps [ErrBlocked] if host, without port and brackets, can't be a host
// on the public internet by its looks: it is empty, or a number as in "2130706433", "0x7f.1" or
// "127.1", which is no DNS name but an IPv4 address to some resolvers. It spares such a host the
// look-up, and says what is wrong with it. Anything else is nil: an address is [Guard.Check]'s to
// judge, and a name is judged by the addresses it resolves to, in [Guard.Control].
func (g *Guard) Host(host string) error {
	if err := g.made(); err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	labels := strings.FieldsFunc(host, dot)
	if len(labels) == 0 {
		return fmt.Errorf("%w: %q names no host: use a URL with one", ErrBlocked, host)
	}
	if number(labels[len(labels)-1]) {
		return fmt.Errorf("%w: host %q ends in a number, which some resolvers make an IPv4 address of: write an address as four decimal numbers, a name in ASCII",
			ErrBlocked, host)
	}
	return nil
}

// ParsePrefixes reads networks ("10.0.0.0/8") and single addresses ("127.0.0.1", "::1"). The error
// is about every one that it can't read, not just the first (errors.Join).
func ParsePrefixes(cidrs ...string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(cidrs))
	var errs []error
	for _, s := range cidrs {
		p, err := parsePrefix(s)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		prefixes = append(prefixes, p)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return prefixes, nil
}

// unmapped returns a copy of prefixes with the IPv4-mapped ones (RFC 4291, section 2.5.5.2) as IPv4.
func unmapped(prefixes []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(prefixes))
	for i, p := range prefixes {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		out[i] = p
	}
	return out
}

// made returns an error unless g was made by New.
func (g *Guard) made() error {
	if g == nil || g.registries == nil {
		return fmt.Errorf("%w: the zero Guard allows nothing: make one with New", ErrBlocked)
	}
	return nil
}

// find returns the first of the prefixes that contains addr.
func find(prefixes []netip.Prefix, addr netip.Addr) (netip.Prefix, bool) {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// nat64 embeds an IPv4 address, any one, for a gateway to reach (RFC 6052, RFC 8215).
var nat64 = [...]netip.Prefix{
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
}

var (
	// globalUnicast is what IANA assigns IPv6 hosts on the internet from (its IPv6 address space registry).
	globalUnicast = netip.MustParsePrefix("2000::/3")
	// sixBone is in it, but was given back in 2006 (RFC 3701): nobody's receiver is there.
	sixBone = netip.MustParsePrefix("3ffe::/16")
	// wireServer is a public address at which Azure gives a virtual machine its configuration and certificates.
	// https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
	wireServer = netip.MustParseAddr("168.63.129.16")
)

// closed says what keeps addr, which is named in neither list, from being dialled; "" if nothing.
func (g *Guard) closed(addr netip.Addr) string {
	switch {
	case addr == wireServer:
		return "Azure's wire server"
	case sixBone.Contains(addr):
		return "in " + sixBone.String() + ", the former 6bone"
	case isatap(addr):
		return "an ISATAP address, an IPv4 address in disguise"
	// The standard library's opinion first: ssrf's lists are exported variables, and should another
	// package change them, what is near and private still stays closed.
	case !addr.IsGlobalUnicast(), addr.IsPrivate(),
		addr.Is6() && !globalUnicast.Contains(addr),
		g.registries.SafeAddr(addr) != nil:
		return "reserved by IANA for a special purpose, not a public address"
	}
	return ""
}

// isatap reports whether addr's interface identifier makes a router send the packet on to an IPv4
// address, its last 32 bits: 0000:5efe, whatever the u and g bits of its first octet (RFC 5214,
// section 6.1).
func isatap(addr netip.Addr) bool {
	b := addr.As16() // ::ffff:… for an IPv4 address, so never ISATAP
	return b[8]&^0x03 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// dot reports whether r separates labels, as net/http sees them (UTS 46 maps the last three to the
// first).
func dot(r rune) bool { return strings.ContainsRune(".。．｡", r) }

// number reports whether a name with this last label is an IPv4 address or nothing (WHATWG URL,
// "ends in a number checker": decimal digits, or 0x and hexadecimal digits, perhaps none).
func number(label string) bool {
	// net/http maps a host to ASCII before it is looked up, "１" to "1" and a soft hyphen to nothing
	// (UTS 46), but a letter always to letters, with which no number begins. A top-level domain is
	// alphabetic (RFC 1123, section 2.1), so it does begin with one.
	outside := func(r rune) bool { return r > unicode.MaxASCII }
	if first, _ := utf8.DecodeRuneInString(label); strings.ContainsFunc(label, outside) {
		return !unicode.IsLetter(first)
	}
	const digits = "0123456789"
	if hex, ok := strings.CutPrefix(strings.ToLower(label), "0x"); ok {
		return strings.Trim(hex, digits+"abcdef") == ""
	}
	return strings.Trim(label, digits) == ""
}

func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "%") {
		return netip.Prefix{}, fmt.Errorf("signpost: network %q has a zone, and no address with a zone is ever dialled: leave the zone out", s)
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf(`signpost: network %q can't be read: write it like "10.0.0.0/8" or "2001:db8::/32", or a single address like "127.0.0.1"`, s)
	}
	if p != p.Masked() {
		// Whether the one address or the whole network was meant is for the user to say.
		return netip.Prefix{}, fmt.Errorf("signpost: network %q is wider than its address: write %q for all of it or %q for the one address", s, p.Masked(), p.Addr())
	}
	return p, nil
}
