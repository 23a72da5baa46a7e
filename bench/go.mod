module brokerd/bench

go 1.26.0
