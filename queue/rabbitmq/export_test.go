package rabbitmq

// NewURL is for tests outside the package.
var NewURL = newURL
