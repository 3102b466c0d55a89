module amime.io/lab

go 1.26
