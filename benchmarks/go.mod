module github.com/millrace-go/millrace/benchmarks

go 1.26.0

require github.com/millrace-go/millrace v0.0.0

replace github.com/millrace-go/millrace => ../
