package faults

var tlsFaults []fault
