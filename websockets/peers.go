package websockets

// Peers are the other members of a cluster, for clients that come back to another
// member than they were connected to.
type Peers interface{}
