{{/* The name of all objects. A StatefulSet's pods carry its name and a hash of 10
     characters in a label of at most 63, so that 52 are left for the name; a
     longer one is cut and keeps a sum, so that two releases do not meet. */}}
{{- define "sluice.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = ternary .Release.Name (printf "%s-sluice" .Release.Name) (contains "sluice" .Release.Name) -}}
{{- end -}}
{{- if gt (len $name) 52 -}}
{{- printf "%s-%s" ($name | trunc 43 | trimSuffix "-" | trimSuffix ".") ($name | sha256sum | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimSuffix "-" | trimSuffix "." | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The pod whose store file is the truth, where no database is. */}}
{{- define "sluice.keeper" -}}
{{- printf "%s-%d" (include "sluice.fullname" .) (int .Values.keeper.ordinal) -}}
{{- end -}}

{{/* A scalar as the text that stands in the tree. Numbers of YAML are floating
     point here: 1000000 would become 1e+06. */}}
{{- define "sluice.scalar" -}}
{{- if kindIs "float64" . -}}
{{- if ne (floor .) . -}}{{ . }}
{{- else if or (gt . 9007199254740991.0) (lt . -9007199254740991.0) -}}
{{- fail (printf "the number %v is too large to be kept exactly: write it in quotes" .) -}}
{{- else -}}{{ int64 . }}
{{- end -}}
{{- else -}}{{ . }}
{{- end -}}
{{- end -}}

{{/* A map as lines of a properties file. */}}
{{- define "sluice.properties" -}}
{{- range $key := keys . | sortAlpha -}}
{{- $value := include "sluice.scalar" (get $ $key) | replace "\\" "\\\\" | replace "\n" "\\n" | replace "\r" "\\r" | replace "\t" "\\t" -}}
{{- if hasPrefix " " $value }}{{ $value = printf "\\%s" $value }}{{ end -}}
{{- $key | replace "\\" "\\\\" | replace ":" "\\:" | replace "=" "\\=" | replace " " "\\ " | replace "#" "\\#" | replace "!" "\\!" }}={{ $value }}
{{ end -}}
{{- end -}}

{{/* Seconds of a time span as Sluice reads it, rounded up: "1m30s", "500ms"; a
     bare number is milliseconds. */}}
{{- define "sluice.seconds" -}}
{{- $text := . | lower | replace " " "" -}}
{{- if not (regexMatch "^([0-9]{1,9}(ms|s|m|h|d|w)?)+$" $text) -}}
{{- fail (printf "properties: sluice.drain.spread=%s is not a time span: write 500ms, 10s, 5m" .) -}}
{{- end -}}
{{- $ms := 0 -}}
{{- range $part := regexFindAll "[0-9]+(ms|s|m|h|d|w)?" $text -1 -}}
{{- $unit := regexFind "[a-z]*$" $part -}}
{{- $factor := get (dict "" 1 "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000) $unit -}}
{{- $ms = add $ms (mul (trimSuffix $unit $part | int64) $factor) -}}
{{- end -}}
{{- div (add $ms 999) 1000 -}}
{{- end -}}

{{- define "sluice.spread" -}}
{{- $spread := include "sluice.scalar" (index .Values.properties "sluice.drain.spread" | default "10s") | include "sluice.seconds" | int -}}
{{- if gt $spread 600 -}}
{{- fail (printf "properties: sluice.drain.spread is %d s: Sluice takes at most 10m" $spread) -}}
{{- end -}}
{{- $spread -}}
{{- end -}}

{{/* The files of etcFiles in lists that a ConfigMap can take: at most 900,000
     bytes of the 1,048,576, since the names and the object itself count. */}}
{{- define "sluice.chunks" -}}
{{- $limit := 900000 -}}
{{- $chunks := list -}}
{{- $chunk := list -}}
{{- $size := 0 -}}
{{- range $name := keys .Values.etcFiles | sortAlpha -}}
{{- $bytes := len (get $.Values.etcFiles $name) -}}
{{- if gt $bytes $limit -}}
{{- fail (printf "etcFiles: %s has %d bytes, and a ConfigMap takes %d: split the file" $name $bytes $limit) -}}
{{- end -}}
{{- if and $chunk (gt (add $size $bytes) $limit) -}}
{{- $chunks = append $chunks $chunk -}}
{{- $chunk = list -}}
{{- $size = 0 -}}
{{- end -}}
{{- $chunk = append $chunk $name -}}
{{- $size = add $size $bytes -}}
{{- end -}}
{{- if $chunk -}}{{- $chunks = append $chunks $chunk -}}{{- end -}}
{{- toJson $chunks -}}
{{- end -}}

{{/* Where a file of etcFiles stands in the tree, and its key in the ConfigMap,
     which may have no slash. The schema lets no file name have two dots. */}}
{{- define "sluice.path" -}}{{ trimPrefix "/opt/open-xchange/etc/" . }}{{- end -}}
{{- define "sluice.key" -}}{{ include "sluice.path" . | replace "/" ".." }}{{- end -}}

{{/* What the chart itself sets, where properties do not. */}}
{{- define "sluice.own" -}}
{{- $own := dict -}}
{{- with .Values.redis -}}
{{- if .hosts -}}
{{- $_ := set $own "com.openexchange.redis.enabled" "true" -}}
{{- $_ := set $own "com.openexchange.redis.hosts" (join "," .hosts) -}}
{{- $_ := set $own "com.openexchange.redis.mode" .mode -}}
{{- if eq .mode "sentinel" }}{{ $_ := set $own "com.openexchange.redis.sentinel.masterId" .sentinelMaster }}{{ end -}}
{{- if .username }}{{ $_ := set $own "com.openexchange.redis.username" .username }}{{ end -}}
{{- if .passwordSecret.name }}{{ $_ := set $own "com.openexchange.redis.password" "{{env SLUICE_REDIS_PASSWORD}}" }}{{ end -}}
{{- if .tls -}}
{{- $_ := set $own "com.openexchange.redis.ssl" "true" -}}
{{- $_ := set $own "com.openexchange.redis.verifyPeer" "true" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.database.hosts -}}
{{- with .Values.database -}}
{{- $_ := set $own "sluice.database.hosts" (join "," .hosts) -}}
{{- $_ := set $own "sluice.database.name" .name -}}
{{- $_ := set $own "sluice.database.user" .user -}}
{{- if .passwordSecret.name }}{{ $_ := set $own "sluice.database.password" "{{env SLUICE_DATABASE_PASSWORD}}" }}{{ end -}}
{{- if .tls }}{{ $_ := set $own "sluice.database.tls" "true" }}{{ end -}}
{{- end -}}
{{- else if .Values.redis.hosts -}}
{{- $_ := set $own "sluice.store.keeper" (include "sluice.keeper" .) -}}
{{- end -}}
{{- with .Values.platform -}}
{{- if .enabled -}}
{{- $_ := set $own "sluice.platform.enabled" "true" -}}
{{- if .hosts }}{{ $_ := set $own "sluice.platform.hosts" (join "," .hosts) }}{{ end -}}
{{- if .user }}{{ $_ := set $own "sluice.platform.user" .user }}{{ end -}}
{{- if .passwordSecret.name }}{{ $_ := set $own "sluice.platform.password" "{{env SLUICE_PLATFORM_PASSWORD}}" }}{{ end -}}
{{- if .tls }}{{ $_ := set $own "sluice.platform.tls" "true" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if .Values.tokens.secret }}{{ $_ := set $own "sluice.admin.tokenFile" (printf "/etc/sluice-tokens/%s" .Values.tokens.key) }}{{ end -}}
{{- range $listener := list "public" "admin" -}}
{{- if index $.Values.tls (printf "%sSecret" $listener) -}}
{{- $_ := set $own (printf "sluice.%s.tls.cert" $listener) (printf "/etc/sluice-tls/%s/tls.crt" $listener) -}}
{{- $_ := set $own (printf "sluice.%s.tls.key" $listener) (printf "/etc/sluice-tls/%s/tls.key" $listener) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled (not .Values.serviceMonitor.tokenSecret.name) -}}
{{- $_ := set $own "sluice.metrics.public" "true" -}}
{{- end -}}
{{- range $key, $_ := .Values.properties }}{{ $own = omit $own $key }}{{ end -}}
{{- toJson $own -}}
{{- end -}}

{{/* contextSets with every value as text, since the tree knows no other. */}}
{{- define "sluice.contextSets" -}}
{{- $sets := dict -}}
{{- range $name, $set := .Values.contextSets -}}
{{- $out := dict -}}
{{- range $key, $value := $set -}}
{{- if eq $key "priority" }}{{ $_ := set $out $key (int64 $value) }}
{{- else }}{{ $_ := set $out $key (include "sluice.scalar" $value) }}
{{- end -}}
{{- end -}}
{{- $_ := set $sets $name $out -}}
{{- end -}}
{{- toYaml $sets -}}
{{- end -}}

{{/* What the schema cannot tell: values that do not go together. */}}
{{- define "sluice.validate" -}}
{{- $v := .Values -}}
{{- if and (gt (int $v.replicas) 1) (not $v.redis.hosts) -}}
{{- fail (printf "replicas is %d and redis.hosts is empty: members find each other over Redis; set redis.hosts, or replicas to 1" (int $v.replicas)) -}}
{{- end -}}
{{- if and $v.redis.hosts (not $v.database.hosts) -}}
{{- if not $v.persistence.enabled -}}
{{- fail "persistence.enabled is false and database.hosts is empty: the keeper's file would be gone with its pod; enable persistence, or set database.hosts" -}}
{{- end -}}
{{- if ge (int $v.keeper.ordinal) (int $v.replicas) -}}
{{- fail (printf "keeper.ordinal is %d and replicas is %d: there is no such pod; the first is 0" (int $v.keeper.ordinal) (int $v.replicas)) -}}
{{- end -}}
{{- end -}}
{{- if and $v.platform.enabled $v.platform.user (not $v.platform.hosts) -}}
{{- fail "platform.user is set and platform.hosts is empty: set both, or neither where etcFiles has configdb.properties" -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) -}}
{{- fail "ingress.enabled is true and ingress.hosts is empty: name the hosts that clients use" -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{- fail "httpRoute.enabled is true and httpRoute.parentRefs is empty: name the Gateway" -}}
{{- end -}}
{{- range $where := list "properties" "secretProperties" -}}
{{- range $key := list "sluice.public.host" "sluice.public.port" "sluice.admin.host" "sluice.admin.port" "sluice.admin.socket" "sluice.remote.member" -}}
{{- if hasKey (get $v $where) $key -}}
{{- fail (printf "%s: %s is the chart's own: the pods' ports, probes and names are made of it" $where $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if hasKey $v.secretProperties "sluice.drain.spread" -}}
{{- fail "secretProperties: sluice.drain.spread belongs into properties, because the pods' grace period is made of it" -}}
{{- end -}}
{{- $paths := dict -}}
{{- range $file, $_ := $v.etcFiles -}}
{{- $path := include "sluice.path" $file -}}
{{- if gt (len $path) 253 }}{{ fail (printf "etcFiles: %s is longer than the 253 characters that a ConfigMap takes" $path) }}{{ end -}}
{{- if hasKey $paths $path }}{{ fail (printf "etcFiles: %s is there twice, with /opt/open-xchange/etc/ and without" $path) }}{{ end -}}
{{- $_ := set $paths $path true -}}
{{- end -}}
{{- end -}}
