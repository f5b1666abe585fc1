{{- /* Names, labels and the few values that more than one template needs. */ -}}

{{- define "cloneset.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* 50 characters leave room for the longest suffix in a 63-byte name. */ -}}
{{- define "cloneset.fullname" -}}
{{- $name := include "cloneset.name" . -}}
{{- $default := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{ .Values.fullnameOverride | default $default | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- /* A selector can never change afterwards, so it holds no version and no user's label. */ -}}
{{- define "cloneset.selectorLabels" -}}
app.kubernetes.io/name: {{ include "cloneset.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* The chart's own labels come last: they decide over the user's. */ -}}
{{- define "cloneset.labels" -}}
{{- $own := dict
      "app.kubernetes.io/version" (.Chart.AppVersion | replace "+" "_")
      "app.kubernetes.io/managed-by" .Release.Service
      "app.kubernetes.io/part-of" "cloneset"
      "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_")) -}}
{{ merge (include "cloneset.selectorLabels" . | fromYaml) $own .Values.commonLabels | toYaml }}
{{- end }}

{{- define "cloneset.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (include "cloneset.fullname" .) }}
{{- end }}

{{- /* The name of the release is no part of it: when an upgrade changes that, the old and the new Deployment run side by
      side, and only a shared Lease keeps both from leading. */ -}}
{{- define "cloneset.leaseName" -}}
cloneset-controller{{ with .Values.watchNamespace }}-{{ . }}{{ end }}
{{- end }}

{{- define "cloneset.image" -}}
{{- with .Values.manager.image -}}
{{- $path := ternary .repository (printf "%s/%s" .registry .repository) (empty .registry) -}}
{{ $path }}:{{ .tag | default $.Chart.AppVersion }}{{ with .digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end }}

{{- /* Kruise's users give klog's verbosity (4 is what its chart runs with), everybody else a name. */ -}}
{{- define "cloneset.logLevel" -}}
{{- $level := toString .Values.manager.log.level -}}
{{- if not (regexMatch "^[0-9]+$" $level) -}}
{{ $level }}
{{- else if ge (int $level) 6 -}}
trace
{{- else if ge (int $level) 4 -}}
debug
{{- else if ge (int $level) 1 -}}
info
{{- else -}}
warn
{{- end -}}
{{- end }}

{{- /* "2m" -> 120; the schema admits only whole seconds and minutes. */ -}}
{{- define "cloneset.seconds" -}}
{{- if hasSuffix "m" . -}}
{{ mul 60 (trimSuffix "m" . | int) }}
{{- else -}}
{{ trimSuffix "s" . | int }}
{{- end -}}
{{- end }}

{{- /* Something when the policies are wanted: `auto` asks for no right on the cluster's level where nothing else does. */ -}}
{{- define "cloneset.deleteProtection" -}}
{{- $wanted := .Values.deleteProtection.enabled -}}
{{- if eq (toString $wanted) "auto" }}{{ $wanted = empty .Values.watchNamespace }}{{ end -}}
{{- if $wanted }}yes{{ end -}}
{{- end }}
