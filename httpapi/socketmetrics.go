package httpapi

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed47708276/sluice/websockets"
)

// socketCollector shows the counters of the sockets.
type socketCollector struct{ sockets *websockets.Server }

var (
	socketsOpen        = desc("sockets", "Open sockets by class of their path and by protocol.", "path", "protocol")
	socketsQueued      = desc("socket_queued_frames", "Frames that wait to be written, of all sockets.")
	socketsQueuedBytes = desc("socket_queued_bytes", "Bytes that wait to be written, of all sockets.")
	socketsMuted       = desc("sockets_muted", "Open sockets that get no messages, because their users are switched off and held.")
	handshakes         = desc("handshakes_total", "Handshakes by result, ok or the code of the refusal; reason is the check behind a code that hides it.", "result", "reason")
	socketsClosed      = desc("sockets_closed_total", "Sockets that ended, by cause and code of the close frame; 0 is none.", "cause", "code")
	messagesQueued     = desc("messages_queued_total", "Service messages queued, once for each socket.")
	messagesConflated  = desc("messages_conflated_total", "Messages that were given up for newer ones of the same topic and folder while they waited, once for each socket.")
	clientEvents       = desc("client_events_total", "Events that clients sent.")
	framesReceived     = desc("frames_received_total", "Messages of clients, heartbeats included.")
	framesSent         = desc("frames_sent_total", "Frames written to clients.")
	bytesReceived      = desc("received_bytes_total", "Bytes of clients, after their handshakes.")
	bytesSent          = desc("sent_bytes_total", "Bytes written to clients, after their handshakes.")
	sendLatency        = desc("send_latency_seconds", "From the call that sends a message until the kernel has it, for the oldest message of each write.")
	recoveries         = desc("recoveries_total", "Clients that came back for what they missed, by result: all, gap where a part was not kept, unknown for a pid or offset that nothing is known of, foreign for the connection id of another session.", "result")
	recoveredMessages  = desc("recovered_messages_total", "Messages that clients got when they came back.")
	recoveredTwice     = desc("recovered_doubtful_total", "Of these, messages that had been written before without an answer of the browser: they may have arrived twice.")
	keptMessages       = desc("kept_messages", "Messages that are kept for clients that come back.")
	keptBytes          = desc("kept_bytes", "What these count as.")
	keptUsers          = desc("kept_users", "Users for whom messages are kept, those with sockets among them.")
	departures         = desc("departures", "Sockets that ended whose clients may come back for what they miss.")
	arrival            = desc("arrival_seconds", "From the call that sends a message until a client has answered that its browser, or its page, has it; of those messages that were asked for.", "at")
	arrivalAsking      = desc("arrival_asked_sockets", "Sockets that have not answered yet whether a message has come.")
	deliveriesKept     = desc("deliveries_remembered", "Messages of which is known what became of them.")
	deliveriesBytes    = desc("deliveries_bytes", "Bytes that the remembered messages count as.")
	rechecks           = desc("gate_rechecks_total", "Times that the gate was asked for all connected users, because the configuration changed.")
	recheckUsers       = desc("gate_recheck_users_total", "Users that these rechecks asked for.")
	recheckClosed      = desc("gate_recheck_closed_total", "Sockets that these rechecks closed.")
)

// Describe implements prometheus.Collector.
func (c socketCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		socketsOpen, socketsQueued, socketsQueuedBytes, socketsMuted, handshakes, socketsClosed, messagesQueued, messagesConflated, clientEvents, framesReceived,
		framesSent, bytesReceived, bytesSent, sendLatency, arrival, arrivalAsking, deliveriesKept, deliveriesBytes, rechecks, recheckUsers, recheckClosed,
		recoveries, recoveredMessages, recoveredTwice, keptMessages, keptBytes, keptUsers, departures,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c socketCollector) Collect(ch chan<- prometheus.Metric) {
	st := c.sockets.Stats()
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for k, n := range st.Sockets {
		gauge(socketsOpen, n, k.Path, k.Protocol)
	}
	gauge(socketsQueued, st.Queued)
	gauge(socketsQueuedBytes, st.QueuedBytes)
	gauge(socketsMuted, st.Muted)
	for h, n := range st.Handshakes {
		counter(handshakes, n, h.Result, h.Reason)
	}
	for cl, n := range st.Closed {
		counter(socketsClosed, n, cl.Cause, strconv.Itoa(int(cl.Code)))
	}
	counter(messagesQueued, st.Messages)
	counter(messagesConflated, st.Conflated)
	counter(clientEvents, st.Events)
	counter(framesReceived, st.FramesIn)
	counter(framesSent, st.FramesOut)
	counter(bytesReceived, st.BytesIn)
	counter(bytesSent, st.BytesOut)
	ch <- histogram(sendLatency, st.SendLatency)
	ch <- histogram(arrival, st.Arrivals.Browser, "browser")
	ch <- histogram(arrival, st.Arrivals.Page, "page")
	gauge(arrivalAsking, st.Asking)
	gauge(deliveriesKept, st.Remembered)
	gauge(deliveriesBytes, st.Memory)
	counter(rechecks, st.Rechecks)
	counter(recheckUsers, st.RecheckUsers)
	counter(recheckClosed, st.RecheckClosed)
	for result, n := range st.Recoveries {
		counter(recoveries, n, result)
	}
	counter(recoveredMessages, st.Resent)
	counter(recoveredTwice, st.Doubtful)
	gauge(keptMessages, st.Kept)
	gauge(keptBytes, st.KeptBytes)
	gauge(keptUsers, st.KeptUsers)
	gauge(departures, st.Departures)
}

func histogram(d *prometheus.Desc, l websockets.Latency, labels ...string) prometheus.Metric {
	buckets, count := make(map[float64]uint64, len(l.Bounds)), uint64(0)
	for i, n := range l.Counts {
		count += uint64(n)
		if i < len(l.Bounds) {
			buckets[l.Bounds[i]] = count
		}
	}
	return prometheus.MustNewConstHistogram(d, count, l.Sum, buckets, labels...)
}
