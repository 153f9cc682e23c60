# Runs with `just`, or `npx -y rust-just` where it is missing.

staticcheck := "honnef.co/go/tools/cmd/staticcheck@v0.8.2"
gofumpt := "mvdan.cc/gofumpt@v0.12.0"
deadcode := "golang.org/x/tools/cmd/deadcode@v0.52.0"

# What there is
default:
    @{{just_executable()}} --list

# The binary
build:
    go build -o sluice .

# The Debian package, dist/sluice_VERSION_amd64.deb
deb *VERSION:
    deploy/deb.sh {{VERSION}}

# The container image, an OCI layout in dist/image
image *VERSION:
    deploy/image.sh {{VERSION}}

# Check everything, then build package, image and binary into dist/
release VERSION: ci
    deploy/release.sh {{VERSION}}

# Install what the tests need, check the code, run all tests (short rounds)
ci: setup lint test

# Debian packages and npm clients of the tests
setup:
    sh testdata/setup.sh

# All tests with the race detector, in short rounds
test *ARGS:
    go test -race -timeout 25m -count=1 {{ARGS}} ./...
    go test -timeout 5m -count=1 ./remote -run TestSchedules

# The full counts of what `test` runs in short rounds
torture:
    go test -race -timeout 60m -count=1 ./cascade -args -torture
    go test -race -timeout 60m -count=1 ./cascade/yamlfile -args -torture
    go test -race -timeout 60m -count=1 ./cascade/store -args -torture
    go test -race -timeout 60m -count=1 ./cascade/store/mariadb -args -torture
    go test -race -timeout 60m -count=1 ./websockets -args -torture
    rm -f ledger.md; go test -race -timeout 90m -count=1 ./cli -run 'Ledger|LeftBehind' -args -torture -ledger "$PWD/ledger.md"; code=$?; cat ledger.md; exit $code
    go test -timeout 20m -count=1 -parallel 8 ./cli -run 'Restarts|RollingRestart|NetworkCuts|RecoveryWhile|Killed|DrainWith|MixedVersions|Upgrade|TestDovecot$|TestPlatform$|RealClients' -args -torture
    go test -timeout 60m -count=1 ./deploy -args -torture
    cd deploy/charttest && go vet ./... && go test -timeout 20m -count=1 ./...
    go test -timeout 120m -count=1 ./remote -run Schedules -args -torture
    go test -race -timeout 60m -count=5 ./cli ./httpapi ./remote/... ./websockets/...
    sh testdata/fuzz.sh 60s

# Each fuzz target for a while
fuzz TIME="20s":
    sh testdata/fuzz.sh {{TIME}}

# Rewrite the golden files, then show what changed
golden:
    go test ./cascade ./cascade/yamlfile ./cli ./remote ./websockets ./httpapi -run 'Golden|Script|Corpus|Transcript|Exchange|Vectors' -args -update
    go test ./deploy -run ChartReadme -args -update
    cd deploy/charttest && go test . -args -update
    git diff --stat

# Formatting, vet, staticcheck and dead code, pinned; what else must compile
lint:
    @test -z "$(go run {{gofumpt}} -l . | tee /dev/stderr)"
    go vet ./...
    GOARCH=arm64 go vet ./...
    GOOS=darwin GOARCH=arm64 go build ./cascade ./websockets ./remote
    go run {{staticcheck}} ./...
    @test -z "$(go run {{deadcode}} . ./websockets/internal/conformance | tee /dev/stderr)"
    @test -z "$(go run {{deadcode}} -test ./... | tee /dev/stderr)"
    cd bench && go vet ./...

# The figures of docs/bench.md, against peers in the same run
bench: bench-cascade bench-store bench-api bench-mail bench-sockets bench-cluster

# Look-ups, memory and reloads of the cascade
bench-cascade *ARGS:
    cd bench && go test -run '^$' -bench . {{ARGS}} .

# Writes of the store: MariaDB, three Galera nodes, a keeper
bench-store:
    go test ./cascade/store/mariadb -run '^$' -bench Writes -benchtime 1x -args -torture
    go test ./remote -run '^$' -bench Keeper -benchtime 1x

# Explanations over HTTP, imports, names, the link within one process; what a confirmation costs
bench-api *ARGS:
    go test ./httpapi ./remote ./cascade/people -run '^$' -bench . {{ARGS}}
    go test ./cli -run 'ConfirmCost|PlatformCost' -count 1 -v -args -torture

# Notifications of new mails against a plain handler, and a real Dovecot's deliveries
bench-mail:
    go test ./httpapi -run '^$' -bench Notify -count 3
    go test ./cli -run 'TestDovecot$' -count 1 -v -args -torture
    go test ./cli -run 'TestMailDelay$' -count 1 -v -args -torture -maildelays "$PWD/mail-delays.txt"
    cd bench && go run ./mailplot ../mail-delays.txt ../docs/mail-delays.svg
    rm mail-delays.txt

# A rolling restart before clients recovered (commit 4d34bde) and now, as a plot; six minutes
bench-restart:
    rm -rf restart-old restarts.txt
    git worktree add --detach restart-old 4d34bde
    cd restart-old && go build -o ../restart-old.bin .
    git worktree remove --force restart-old
    go test ./cli -run 'TestRollingRestart$' -count 1 -v -args -torture -rollingbinary "$PWD/restart-old.bin" -rolling "$PWD/restarts.txt"
    go test ./cli -run 'TestRollingRestart$' -count 1 -v -args -torture -rolling "$PWD/restarts.txt"
    cd bench && go run ./restartplot ../restarts.txt ../docs/rolling-restart.svg
    rm restarts.txt restart-old.bin

# Memory, handshakes and deliveries of the sockets; two cores and half an hour
bench-sockets *ARGS:
    cd bench && go run ./load {{ARGS}}

# The link between members; two cores and an hour
bench-cluster *ARGS:
    cd bench && go run ./cluster -plot ../docs/cluster-timings.svg {{ARGS}}

# How reloads, the gate's re-check, idle sockets to 45,000 and delays grow; a quarter of an hour
bench-growth *ARGS:
    cd bench && go run ./growth -plot ../docs {{ARGS}}
    cd bench && go run ./cluster -grow ../docs

# A busy cluster whose memory, goroutines and descriptors have to stay flat; -for 40m
soak *ARGS:
    cd bench && go run ./soak {{ARGS}}

# This tree against a revision: REV -figure NAMES; without -figure, their names
bench-against REV *ARGS:
    cd bench && go run ./against {{REV}} {{ARGS}}
