{{/* The release's name, if it says squall; else with it. */}}
{{- define "squall.fullname" -}}
{{- $name := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "squall.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "squall.labels" -}}
{{ include "squall.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "squall.image" -}}
{{- $name := printf "%s/%s" (trimSuffix "/" .Values.image.registry) .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ $name }}@{{ .Values.image.digest }}
{{- else -}}
{{ $name }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "squall.tenantsConfigMap" -}}
{{ .Values.tenants.existingConfigMap | default (printf "%s-tenants" (include "squall.fullname" .)) }}
{{- end }}

{{/* The directory of the runtime's socket. */}}
{{- define "squall.runtimeDirectory" -}}
{{- $directory := dir .Values.runtime.socket -}}
{{- if has $directory (list "/run" "/var/run") -}}
{{- fail (printf "runtime.socket: mounting all of %s would hide what else the agent has there: name the socket by a folder of its own" $directory) -}}
{{- end -}}
{{ $directory }}
{{- end }}

{{- define "squall.priorityClassName" -}}
{{ .Values.priorityClass.create | ternary (include "squall.fullname" .) .Values.priorityClass.name }}
{{- end }}

{{- define "squall.appArmorAnnotation" -}}
{{- if eq .Values.appArmor.type "Localhost" -}}
localhost/{{ .Values.appArmor.localhostProfile }}
{{- else -}}
{{ eq .Values.appArmor.type "Unconfined" | ternary "unconfined" "runtime/default" }}
{{- end -}}
{{- end }}

{{- define "squall.arguments" -}}
- --node-name=$(NODE_NAME)
- --namespace=$(POD_NAMESPACE)
- --policy=/etc/squall/policy/policy.yaml
- --tenants-directory=/etc/squall/tenants
- --runtime-socket={{ .Values.runtime.socket }}
- --probe-bind-address={{ .Values.bindAddress }}:{{ .Values.probes.port }}
- --log-format={{ .Values.log.format }}
{{- if .Values.tls.enabled }}
- --tls-bind-address={{ .Values.bindAddress }}:{{ .Values.tls.port }}
{{- end }}
{{- with .Values.apiServer }}
- --api-server={{ . }}
{{- end }}
{{- range .Values.exclude }}
- --exclude={{ . }}
{{- end }}
{{- range .Values.sparePorts }}
- --spare-port={{ . }}
{{- end }}
{{- with .Values.limits }}
{{- $options := dict "maxSessions" "max-sessions" "maxWorkers" "max-workers" "maxMemory" "max-memory" "maxDescriptors" "max-descriptors" "maxJournal" "max-journal" "journalBytes" "journal-bytes" "maxAudit" "max-audit" }}
{{- range $name, $value := . }}
- --{{ get $options $name }}={{ int64 $value }}
{{- end }}
{{- end }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
