module github.com/signpost-go/signpost/queue/kafka

go 1.26.0

require (
	github.com/cenkalti/backoff/v4 v4.3.0
	github.com/signpost-go/signpost v0.0.0
	github.com/stretchr/testify v1.12.1
	github.com/twmb/franz-go v1.22.3
	github.com/twmb/franz-go/pkg/kadm v1.20.0
	github.com/twmb/franz-go/pkg/kmsg v1.15.1
)

require (
	code.dny.dev/ssrf v0.3.0 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/time v0.16.0 // indirect
)

replace github.com/signpost-go/signpost => ../..
