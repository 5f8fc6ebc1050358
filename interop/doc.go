// Package interop proves that receivers can verify signpost's webhooks with the libraries that they have already. Its
// tests start a small receiver for each language, built around the real libraries, and send to it through a Dispatcher.
//
// Every receiver has a folder of its own, with its dependencies pinned; docs/receivers.md shows the files that verify.
// What the receivers need is installed in the user's cache folder. Where a toolchain or the network is missing, a test
// is skipped with the reason, except with CI=true.
package interop
