// Package faults has what goes wrong between a queue of package rabbitmq and its broker, one test for each.
package faults
