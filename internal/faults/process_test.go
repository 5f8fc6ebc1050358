package faults

var processFaults []fault
