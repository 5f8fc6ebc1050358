//go:build !linux

package faults

import "testing"

func oneHangs(t *testing.T) { t.Skip("a listener's queue is filled as Linux does it") }

func noRoute(t *testing.T) { t.Skip("the addresses that have no route are Linux's") }

func outOfDescriptors(t *testing.T) { t.Skip("descriptors are limited as Linux does it") }
