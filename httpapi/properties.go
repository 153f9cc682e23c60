package httpapi

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seed47708276/sluice/cascade"
	"github.com/seed47708276/sluice/httpapi/auth"
	"github.com/seed47708276/sluice/remote"
	"github.com/seed47708276/sluice/websockets"
)

// Names of the listeners' properties.
const (
	PropPublicHost = "sluice.public.host"
	PropPublicPort = "sluice.public.port"
	PropAdminHost  = "sluice.admin.host"
	PropAdminPort  = "sluice.admin.port"
	PropPublicCert = "sluice.public.tls.cert"
	PropPublicKey  = "sluice.public.tls.key"
	PropAdminCert  = "sluice.admin.tls.cert"
	PropAdminKey   = "sluice.admin.tls.key"
	PropTokenFile  = "sluice.admin.tokenFile"
	// PropAdminSocket is read where the command line gives no path.
	PropAdminSocket   = "sluice.admin.socket"
	PropSocketGroup   = "sluice.admin.socketGroup"
	PropMetricsPublic = "sluice.metrics.public"
	PropMaxPending    = "sluice.public.maxPendingPerPeer"
	PropMaxClose      = "sluice.gate.maxClose"
)

// Names of the service account's properties.
const (
	PropBasicLogin    = "com.openexchange.rest.services.basic-auth.login"
	PropBasicPassword = "com.openexchange.rest.services.basic-auth.password"
)

const (
	ownFile  = "sluice.properties"
	ownSince = "sluice 0.9"
)

// Properties of the listeners, and of what producers of notifications send.
var Properties = slices.Concat(listenerProperties, pushProperties, registrationProperties, auth.Properties)

var listenerProperties = []cascade.Declaration{
	{
		Name: PropMaxClose, Kind: cascade.Int, Enum: []string{maxCloseAuto, maxCloseOff}, Default: maxCloseAuto, Min: 0, Max: math.MaxInt32, Server: true, File: ownFile, Since: ownSince,
		Related: []string{websockets.PropEnabled},
		Doc:     "Sockets of a member that one change of files may close without being held; auto is the greater of 2 % of the member's own and 100 divided by the live members.",
	},
	{
		Name: PropPublicHost, Kind: cascade.Text, Default: "127.0.0.1", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Doc: "Address of the listener for clients.",
	},
	{
		Name: PropPublicPort, Kind: cascade.Int, Default: "8011", Min: 0, Max: 65_535, Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Doc: "Port of the listener for clients; 0 takes any free one.",
	},
	{
		Name: PropMaxPending, Kind: cascade.Int, Default: "1024", Min: 1, Max: 1_000_000, Server: true, Local: true, File: ownFile, Since: ownSince,
		Doc: "Connections without a socket that one address may have to the listener for clients; this machine and com.openexchange.server.knownProxies may have any number.",
	},
	{
		Name: PropPublicCert, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Related: []string{PropPublicKey},
		Doc:     "File with the certificate chain of the listener for clients, in PEM; empty: no TLS. Its contents may change without a restart.",
	},
	{
		Name: PropPublicKey, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Related: []string{PropPublicCert},
		Doc:     "File with the key of that certificate, in PEM.",
	},
	{
		Name: PropAdminHost, Kind: cascade.Text, Default: "127.0.0.1", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Doc: "Address of the listener for administrators.",
	},
	{
		Name: PropAdminPort, Kind: cascade.Int, Default: "8012", Min: 0, Max: 65_535, Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Doc: "Port of the listener for administrators; 0 takes any free one.",
	},
	{
		Name: PropAdminCert, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Related: []string{PropAdminKey},
		Doc:     "File with the certificate chain of the listener for administrators, in PEM; empty: no TLS. Its contents may change without a restart.",
	},
	{
		Name: PropAdminKey, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Related: []string{PropAdminCert},
		Doc:     "File with the key of that certificate, in PEM.",
	},
	{
		Name: PropTokenFile, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Doc: "File with tokens of administrators, one a line: NAME ROLE TOKEN [EXPIRES]; empty: none. Its contents may change without a restart.",
	},
	{
		Name: PropAdminSocket, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Related: []string{PropSocketGroup},
		Doc:     "Path of the Unix socket for administrators of this machine, at most 107 bytes; empty: /run/sluice/admin.sock where that can be written and --state is not given, else admin.sock in the state folder.",
	},
	{
		Name: PropSocketGroup, Kind: cascade.Text, Default: "", Server: true, Local: true, Restart: true, File: ownFile, Since: ownSince,
		Related: []string{PropAdminSocket},
		Doc:     "Group whose members are editors on that socket, beside root and the user of the service; empty: none.",
	},
	{
		Name: PropMetricsPublic, Kind: cascade.Bool, Default: "false", Server: true, Local: true, File: ownFile, Since: ownSince,
		Doc: "Whether the listener for administrators answers /metrics without a token.",
	},
	{
		Name: PropBasicLogin, Kind: cascade.Text, Default: "", Server: true, File: "server.properties", Since: "7.6.1",
		Related: []string{PropBasicPassword},
		Doc:     "Login of the service account that reads below /preliminary; empty: nobody may.",
	},
	{
		Name: PropBasicPassword, Kind: cascade.Text, Default: "", Server: true, Secret: true, File: "server.properties", Since: "7.6.1",
		Related: []string{PropBasicLogin},
		Doc:     "Password of that account; empty: nobody may.",
	},
}

// Names of the properties of push notifications. Below PropPushEnabled stand
// ".CLIENT" and ".CLIENT.TOPIC", of which the longest that is set wins.
const (
	PropPushEnabled     = "com.openexchange.pns.transport.websocket.enabled"
	PropPushDelay       = "com.openexchange.pns.delayDuration"
	PropPushMaxDelay    = "com.openexchange.pns.maxDelayDuration"
	PropPushFrequency   = "com.openexchange.pns.timerFrequency"
	PropPushBuffered    = "sluice.mailpush.maxBuffered"
	PropNotifyAddresses = "sluice.mailpush.allowedAddresses"
	PropWebhookSecret   = "sluice.webhook.secret"
	PropWebhookKey      = "sluice.webhook.signatureSecret"
	PropWebhookHeader   = "sluice.webhook.signatureHeader"
)

// pushClient is the client whose sockets push notifications go to.
const pushClient = "open-xchange-appsuite"

// topicCalendar is the event of a change in a calendar.
const topicCalendar = "ox:calendar:updates"

const (
	pushFile     = "pns.properties"
	pushSince    = "7.8.3"
	maxPushDelay = 600_000 // ms, ten minutes: beyond it a notification is no news
	// privateRanges are loopback, link-local and private networks.
	privateRanges = "127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, fc00::/7, fe80::/10"
)

// pushProperties declare what stands in front of the sockets.
var pushProperties = []cascade.Declaration{
	{
		Name: PropPushEnabled, Kind: cascade.Bool, Default: "true", File: pushFile, Since: pushSince,
		Related: []string{PropPushEnabled + "." + pushClient},
		Doc:     "Whether push notifications go to a user's Web Sockets; .CLIENT and .CLIENT.TOPIC behind the name are more specific and win. In a file the colons of a topic are written \\:.",
	},
	{
		Name: PropPushEnabled + "." + pushClient, Kind: cascade.Bool, NoDefault: true, File: pushFile, Since: pushSince,
		Related: []string{PropPushEnabled},
		Doc:     "The same for the sockets of App Suite's UI.",
	},
	{
		Name: PropPushDelay, Kind: cascade.Duration, Unit: "ms", Default: "1000", Min: 0, Max: maxPushDelay, Server: true, File: pushFile, Since: pushSince,
		Related: []string{PropPushMaxDelay},
		Doc:     "How long a push notification waits for an equal one; twice that with medium priority, four times with low; 0 sends at once.",
	},
	{
		Name: PropPushMaxDelay, Kind: cascade.Duration, Unit: "ms", Default: "10000", Min: 0, Max: maxPushDelay, Server: true, File: pushFile, Since: pushSince,
		Related: []string{PropPushDelay},
		Doc:     "How long equal notifications may make one wait in all, since the first, with the same factors; 0 is no limit.",
	},
	{
		Name: PropPushFrequency, Kind: cascade.Duration, Unit: "ms", Default: "500", Min: 10, Max: maxPushDelay, Server: true, File: pushFile, Since: pushSince,
		Doc: "How often notifications that are due are looked for.",
	},
	{
		Name: PropPushBuffered, Kind: cascade.Int, Default: "100000", Min: 1, Max: 10_000_000, Server: true, File: ownFile, Since: ownSince,
		Doc: "Push notifications of each priority that may wait at once; beyond it their producers are answered 503.",
	},
	{
		Name: PropNotifyAddresses, Kind: cascade.Text, Default: privateRanges, Server: true, File: ownFile, Since: ownSince,
		Related: []string{PropBasicLogin},
		Doc:     "Addresses and ranges from which Dovecot and webhooks may notify; a proxy in front and what it forwards for must both be in it.",
	},
	{
		Name: PropWebhookSecret, Kind: cascade.Text, Default: "", Server: true, Secret: true, File: ownFile, Since: ownSince,
		Related: []string{PropWebhookKey},
		Doc:     "What webhooks send as Authorization, word for word; empty: the login and password of the service account.",
	},
	{
		Name: PropWebhookKey, Kind: cascade.Text, Default: "", Server: true, Secret: true, File: ownFile, Since: ownSince,
		Related: []string{PropWebhookSecret},
		Doc:     "Secret with which webhooks are signed; empty: nobody may send them.",
	},
	{
		Name: PropWebhookHeader, Kind: cascade.Text, Default: "X-OX-Signature", Server: true, File: ownFile, Since: ownSince,
		Related: []string{PropWebhookKey},
		Doc:     "Header with the signature of a webhook: signatureHeaderName in the sender's webhooks.yml.",
	},
}

// PushTogether holds the three timings of push notifications against each other.
var PushTogether = cascade.Group{
	Names: []string{PropPushDelay, PropPushMaxDelay, PropPushFrequency},
	Check: func(values []any) error {
		ms := func(i int) time.Duration {
			n, _ := values[i].(int64)
			return time.Duration(n) * time.Millisecond
		}
		return checkPushTimings(remote.Timings{Delay: ms(0), MaxDelay: ms(1), Frequency: ms(2)})
	},
}

func checkPushTimings(t remote.Timings) error {
	if t.MaxDelay != 0 && t.Delay > t.MaxDelay {
		return fmt.Errorf("%s (%d) is above %s (%d): lower it, or set the other to 0 for no limit", PropPushDelay, t.Delay.Milliseconds(), PropPushMaxDelay, t.MaxDelay.Milliseconds())
	}
	if t.Validate() != nil {
		return errors.New(PropPushFrequency + " is at least 10 milliseconds")
	}
	return nil
}

// readPushTimings are those of high priority.
func readPushTimings(sn *cascade.Snapshot) (remote.Timings, error) {
	ms := func(name string) time.Duration {
		return time.Duration(cascade.ServerValue[int64](sn, name)) * time.Millisecond
	}
	t := remote.Timings{Delay: ms(PropPushDelay), MaxDelay: ms(PropPushMaxDelay), Frequency: ms(PropPushFrequency)}
	return t, checkPushTimings(t)
}

// pushEnabled reports whether a topic goes to the sockets of a client of a user.
func pushEnabled(sn *cascade.Snapshot, su cascade.Subject, client, topic string) bool {
	specific := PropPushEnabled + "." + client
	for _, name := range []string{specific + "." + topic, specific} {
		v, ok := sn.Get(su, name)
		if !ok {
			continue
		}
		if on, typed := v.Effective.(bool); typed {
			return on
		}
		// Of a topic that is not declared: what is no boolean says nothing.
		switch text := strings.TrimSpace(v.Text); {
		case strings.EqualFold(text, "true"):
			return true
		case strings.EqualFold(text, "false"):
			return false
		}
	}
	return cascade.ValueOf[bool](sn, su, PropPushEnabled)
}
