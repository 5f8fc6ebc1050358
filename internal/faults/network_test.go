package faults

var networkFaults []fault
