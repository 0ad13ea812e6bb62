module github.com/runvm/runvm

go 1.26.8
