package node_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"

	"github.com/seed47708276/sluice/node"
)

// A program of its own serves Web Sockets beside what else it does.
func Example() {
	dir, err := os.MkdirTemp("", "node-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	tree := filepath.Join(dir, "etc")
	if err := os.Mkdir(tree, 0o755); err != nil {
		log.Fatal(err)
	}
	settings := "com.openexchange.websockets.enabled=true\n"
	if err := os.WriteFile(filepath.Join(tree, "websockets.properties"), []byte(settings), 0o644); err != nil {
		log.Fatal(err)
	}

	n, err := node.Open(node.Options{
		Roots: []string{tree}, State: filepath.Join(dir, "state"),
		Public: "127.0.0.1:0", Admin: "127.0.0.1:0",
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- n.Run(ctx) }()

	// The listeners were taken by Open: a request waits until Run answers it.
	res, err := http.Get("http://" + n.AdminAddr() + "/livez")
	if err != nil {
		log.Fatal(err)
	}
	res.Body.Close()
	fmt.Println("alive:", res.StatusCode)
	fmt.Println("sockets:", n.Sockets().Count())

	stop()
	fmt.Println("stopped:", <-done)
	// Output:
	// alive: 200
	// sockets: 0
	// stopped: <nil>
}
