module github.com/amime-mesh/amime/xtask/cluster/go/tools

go 1.26
