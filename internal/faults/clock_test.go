package faults

var clockFaults []fault
