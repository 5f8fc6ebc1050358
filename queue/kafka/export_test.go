package kafka

// SharedBrokers is for tests outside the package.
var SharedBrokers = sharedBrokers
