package faults

var connections []fault
