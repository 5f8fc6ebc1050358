package faults

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// A nameServer answers DNS queries (RFC 1035) on loopback, over UDP and TCP. It knows the names that tests have added;
// no other exists.
type nameServer struct {
	udp net.PacketConn
	tcp net.Listener

	mu    sync.Mutex
	added int
	zones map[string]*zone // by name
}

// A zone is one name and how the server answers for it.
type zone struct {
	replies []reply
	asked   map[uint16]int // queries so far, by type
}

// A query is a question as it has come.
type query struct {
	id       []byte
	question []byte // name, type and class
	name     string
	qtype    uint16
	tcp      bool
}

// A reply makes the answer to a query; nil: none is sent.
type reply func(q query) []byte

// Types of records.
const (
	typeA     = 1
	typeCNAME = 5
	typeAAAA  = 28
)

// Response codes and flags of a header.
const (
	servfail  = 2
	nxdomain  = 3
	refused   = 5
	truncated = 0x0200
	answered  = 0x8180 // a response of a recursive server
)

var names = &nameServer{zones: make(map[string]*zone)}

func (s *nameServer) start() (err error) {
	if s.udp, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		return err
	}
	if s.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return err
	}
	go s.serveUDP()
	go s.serveTCP()
	return nil
}

func (s *nameServer) close() {
	s.udp.Close()
	s.tcp.Close()
}

// dial is for net.Resolver: whatever the name server of this machine is, it connects to s.
func (s *nameServer) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	addr := s.udp.LocalAddr()
	if strings.HasPrefix(network, "tcp") {
		addr = s.tcp.Addr()
	}
	var d net.Dialer
	return d.DialContext(ctx, addr.Network(), addr.String())
}

// add makes a new name. The first query of each type gets the first reply, and so on; the last reply stays.
func (s *nameServer) add(replies ...reply) (name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.added++
	name = fmt.Sprintf("name%d.test", s.added)
	s.zones[name] = &zone{replies: replies, asked: make(map[uint16]int)}
	return name
}

func (s *nameServer) serveUDP() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := s.answer(buf[:n], false); answer != nil {
			s.udp.WriteTo(answer, from)
		}
	}
}

func (s *nameServer) serveTCP() {
	for {
		c, err := s.tcp.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			var size [2]byte
			for {
				if _, err := io.ReadFull(c, size[:]); err != nil {
					return
				}
				msg := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(c, msg); err != nil {
					return
				}
				if answer := s.answer(msg, true); answer != nil {
					c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
				}
			}
		}()
	}
}

func (s *nameServer) answer(msg []byte, tcp bool) []byte {
	q, ok := parseQuery(msg)
	if !ok {
		return nil
	}
	q.tcp = tcp
	s.mu.Lock()
	next := reply(code(nxdomain))
	if z := s.zones[strings.ToLower(q.name)]; z != nil {
		next = z.replies[min(z.asked[q.qtype], len(z.replies)-1)]
		z.asked[q.qtype]++
	}
	s.mu.Unlock()
	return next(q)
}

// parseQuery reads the first question of a message.
func parseQuery(msg []byte) (q query, ok bool) {
	const header = 12
	if len(msg) < header {
		return q, false
	}
	var labels []string
	rest := msg[header:]
	for {
		if len(rest) == 0 || len(rest) <= int(rest[0]) {
			return q, false
		}
		n := int(rest[0])
		label := rest[1 : 1+n]
		rest = rest[1+n:]
		if n == 0 {
			break
		}
		labels = append(labels, string(label))
	}
	if len(rest) < 4 {
		return q, false
	}
	end := len(msg) - len(rest) + 4
	return query{
		id: bytes.Clone(msg[:2]), question: bytes.Clone(msg[header:end]),
		name: strings.Join(labels, "."), qtype: binary.BigEndian.Uint16(rest),
	}, true
}

// message is a response with the given flags and answers.
func (q query) message(flags uint16, answers ...[]byte) []byte {
	msg := binary.BigEndian.AppendUint16(bytes.Clone(q.id), answered|flags)
	for _, count := range []int{1, len(answers), 0, 0} {
		msg = binary.BigEndian.AppendUint16(msg, uint16(count))
	}
	return append(append(msg, q.question...), bytes.Join(answers, nil)...)
}

// pointer is a compressed name: the one at an offset of the message. The question's is at 12.
func pointer(offset uint16) []byte { return binary.BigEndian.AppendUint16(nil, 0xc000|offset) }

// record is a record of the question's name that may not be kept for any time.
func record(rtype uint16, data []byte) []byte {
	rec := binary.BigEndian.AppendUint16(pointer(12), rtype)
	rec = append(rec, 0, 1, 0, 0, 0, 0) // class IN, TTL 0
	return append(binary.BigEndian.AppendUint16(rec, uint16(len(data))), data...)
}

// code answers with a response code, or with nothing at all if it is 0.
func code(rcode uint16) reply { return func(q query) []byte { return q.message(rcode) } }

// never doesn't answer.
func never(query) []byte { return nil }

// addresses answers with these, in this order: IPv4 ones to a query for A, all others to one for AAAA.
func addresses(list ...string) reply {
	return func(q query) []byte {
		var records [][]byte
		for _, s := range list {
			addr := netip.MustParseAddr(s)
			rtype := uint16(typeAAAA)
			if addr.Is4() {
				rtype = typeA
			}
			if rtype == q.qtype {
				records = append(records, record(rtype, addr.AsSlice()))
			}
		}
		return q.message(0, records...)
	}
}
