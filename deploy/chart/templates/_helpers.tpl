{{- define "hookkeeper.name" -}}
{{- contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "hookkeeper.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hookkeeper.labels" -}}
{{ include "hookkeeper.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "hookkeeper.image" -}}
{{- with .Values.image }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}{{ end }}
{{- end }}

{{- define "hookkeeper.secret" -}}
{{ .Values.secret.name | default (include "hookkeeper.name" .) }}
{{- end }}

{{- define "hookkeeper.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "hookkeeper.name" .) }}
{{- end }}

{{- define "hookkeeper.security" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
privileged: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "hookkeeper.environment" -}}
envFrom:
  - secretRef: {name: {{ include "hookkeeper.secret" . }}}
env:
  {{- if eq .Values.store.kind "postgresql" }}
  - name: GATEWAY_STORE
    valueFrom: {secretKeyRef: {name: {{ include "hookkeeper.secret" . }}, key: {{ .Values.store.urlKey }}}}
  {{- else }}
  - {name: GATEWAY_STORE, value: "sqlite:////var/lib/gateway/gateway.db"}
  {{- end }}
  # Prometheus asks each pod by its address, people by the service's name.
  - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  - name: GATEWAY_ADMIN_HOSTS
    value: {{ printf "$(POD_IP) %[1]s %[1]s.%[2]s %[1]s.%[2]s.svc %[3]s" (printf "%s-admin" (include "hookkeeper.name" .)) .Release.Namespace (join " " .Values.adminHosts) | trim | quote }}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The pod of both kinds. A change of routes.yaml or of the chart's own secret starts new pods. */}}
{{- define "hookkeeper.pod" -}}
metadata:
  labels:
    {{- include "hookkeeper.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/config: {{ include (print $.Template.BasePath "/config.yaml") . | sha256sum }}
    {{- if not .Values.secret.name }}
    checksum/secret: {{ toJson .Values.secret.values | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  serviceAccountName: {{ include "hookkeeper.serviceAccount" . }}
  automountServiceAccountToken: false
  securityContext: {fsGroup: 10001, fsGroupChangePolicy: OnRootMismatch}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if eq .Values.store.kind "postgresql" }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "hookkeeper.selector" . | nindent 10 }}
  initContainers:
    # Does nothing if the schema is current; running replicas of the version before continue meanwhile.
    - name: migrate
      image: {{ include "hookkeeper.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [migrate]
      {{- include "hookkeeper.environment" . | nindent 6 }}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      securityContext: {{- include "hookkeeper.security" . | nindent 8 }}
      volumeMounts: [{name: data, mountPath: /var/lib/gateway}]
  {{- end }}
  containers:
    - name: gateway
      image: {{ include "hookkeeper.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        - serve
        - --config=/etc/gateway/routes.yaml
        - --bind=0.0.0.0:8080
        - --admin-bind=0.0.0.0:8081
        {{- with .Values.args }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- include "hookkeeper.environment" . | nindent 6 }}
      ports:
        - {containerPort: 8080, name: ingest}
        - {containerPort: 8081, name: admin}
      # The first start after an upgrade may take minutes: it migrates the store.
      startupProbe: {httpGet: {path: /healthz, port: admin}, periodSeconds: 2, failureThreshold: 150}
      readinessProbe: {httpGet: {path: /readyz, port: admin}, periodSeconds: 2, timeoutSeconds: 2}
      livenessProbe: {httpGet: {path: /healthz, port: admin}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      securityContext: {{- include "hookkeeper.security" . | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /var/lib/gateway}
        - {name: config, mountPath: /etc/gateway, readOnly: true}
  volumes:
    - name: config
      configMap:
        name: {{ include "hookkeeper.name" . }}
        items:
          - {key: routes.yaml, path: routes.yaml}
          {{- range $path, $_ := .Values.templates }}
          - {key: {{ printf "template.%s" ($path | replace "/" "..") }}, path: {{ printf "templates/%s" $path }}}
          {{- end }}
    {{- if eq .Values.store.kind "postgresql" }}
    # The crash slot, and files of destinations of type file; they outlive the process, not the pod.
    - {name: data, emptyDir: {}}
    {{- end }}
{{- end }}
