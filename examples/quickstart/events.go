package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// An event is what happened, to be told to every receiver.
type event struct {
	Name    string          `json:"event"`
	Payload json.RawMessage `json:"payload"`
}

const (
	eventForm = `{"event": NAME, "payload": {...}}`

	maxEvents = 1000    // of a file; more would take longer than a demonstration may
	maxLine   = 2 << 20 // bytes: a payload of 1 MiB is the most that a dispatcher takes by default
)

// builtIn are events as a shop might have them.
const builtIn = `
{"event": "order.created",     "payload": {"order": "ord_1042", "customer": "cus_77", "total": 4990, "currency": "EUR"}}
{"event": "invoice.paid",      "payload": {"invoice": "inv_2001", "order": "ord_1042", "amount": 4990, "method": "card"}}
{"event": "parcel.shipped",    "payload": {"parcel": "pcl_9", "order": "ord_1042", "carrier": "post", "items": [{"sku": "A-1", "count": 2}]}}
{"event": "stock.low",         "payload": {"sku": "A-1", "left": 3}}
{"event": "refund.issued",     "payload": {"refund": "ref_5", "invoice": "inv_2001", "amount": 1990, "reason": "damaged"}}
{"event": "customer.deleted",  "payload": {"customer": "cus_12", "at": "2026-01-31T23:59:59Z"}}
`

// builtInEvents returns them ten times over.
func builtInEvents() []event {
	events, err := readEvents(strings.NewReader(builtIn))
	if err != nil {
		panic(err) // a test has read them
	}
	return slices.Repeat(events, 10)
}

// loadEvents reads the first maxEvents of a file.
func loadEvents(name string) ([]event, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	events, err := readEvents(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return events, nil
}

// readEvents reads JSON lines. Empty ones are skipped.
func readEvents(r io.Reader) (events []event, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 1
	for ; len(events) < maxEvents && lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		e, err := parseEvent(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w; give %s", n, err, eventForm)
		}
		events = append(events, e)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("line %d: longer than %d bytes", n, maxLine)
	case err != nil:
		return nil, err
	case len(events) == 0:
		return nil, fmt.Errorf("no events: give a line %s for each", eventForm)
	}
	return events, nil
}

func parseEvent(line []byte) (e event, err error) {
	if err := json.Unmarshal(line, &e); err != nil {
		return event{}, fmt.Errorf("not an event: %w", err)
	}
	switch {
	case e.Name == "":
		return event{}, errors.New("no event name")
	case len(e.Payload) == 0:
		return event{}, errors.New("no payload")
	case e.Payload[0] != '{':
		return event{}, fmt.Errorf("payload %.20s is not an object", e.Payload)
	}
	return e, nil
}
