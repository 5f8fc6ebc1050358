package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Each of the following returns the function that records one kind of value in a config.

// oneOf takes any word, or one of those given.
func oneOf(to *string, words ...string) func(string) error {
	return func(value string) error {
		if len(words) > 0 && !slices.Contains(words, value) {
			return fmt.Errorf("give %s", strings.Join(words, " or "))
		}
		*to = value
		return nil
	}
}

func number(to *int, least, most int) func(string) error {
	return func(value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return fmt.Errorf("give a number from %d to %d", least, most)
		}
		*to = n
		return nil
	}
}

func duration(to *time.Duration, least, most time.Duration) func(string) error {
	return func(value string) error {
		d, err := time.ParseDuration(value)
		if err != nil || d < least || d > most {
			return fmt.Errorf("give a time from %v to %v, such as 90s or 1h30m", least, most)
		}
		*to = d
		return nil
	}
}

func address(to *string) func(string) error {
	return func(value string) error {
		_, port, err := net.SplitHostPort(value)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
			return errors.New("give a port, as in :8080, or an address and a port, as in 127.0.0.1:8080")
		}
		*to = value
		return nil
	}
}

func rateLimit(to *rate.Limit) func(string) error {
	return func(value string) error {
		if value == "none" {
			*to = rate.Inf
			return nil
		}
		number, unit, _ := strings.Cut(value, "/")
		seconds := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || seconds == 0 || !(n > 0 && n <= 1e9) {
			return errors.New("give a number above zero, a slash, and s, m or h, as in 50/s; none for no limit")
		}
		*to = rate.Limit(n / seconds)
		return nil
	}
}

func burst(to *int) func(string) error {
	return func(value string) error {
		if value == "auto" {
			*to = 0
			return nil
		}
		if err := number(to, 1, 1_000_000)(value); err != nil {
			return fmt.Errorf("%w, or auto", err)
		}
		return nil
	}
}

func networks(to *[]string) func(string) error {
	return func(value string) error {
		for _, text := range strings.Fields(value) {
			if p, err := netip.ParsePrefix(text); err != nil || p != p.Masked() {
				return fmt.Errorf("%q is no network; give some with spaces between them, as in 10.1.0.0/16 fd00:1::/32", text)
			}
			*to = append(*to, text)
		}
		return nil
	}
}

func level(to *slog.Level) func(string) error {
	return func(value string) error {
		if !slices.Contains([]string{"debug", "info", "warn", "error"}, value) {
			return errors.New("give debug, info, warn or error")
		}
		return to.UnmarshalText([]byte(value))
	}
}
