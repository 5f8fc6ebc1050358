package faults

var http2Faults []fault
