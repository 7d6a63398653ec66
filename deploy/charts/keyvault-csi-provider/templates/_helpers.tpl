{{/* The name in the labels; for the provider `azure` the same as in the Go chart. */}}
{{- define "provider.name" -}}
{{- .Values.nameOverride | default (printf "csi-secrets-store-provider-%s" .Values.providerName) | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The DaemonSet's name, as in the Go chart. */}}
{{- define "provider.fullname" -}}
{{- $name := .Values.nameOverride | default (printf "csi-secrets-store-provider-%s" .Values.providerName) -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "provider.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (printf "csi-secrets-store-provider-%s" .Values.providerName) -}}
{{- end -}}

{{/* ClusterRoles and their bindings have no namespace: the name contains it. */}}
{{- define "provider.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "provider.fullname" .) -}}
{{- end -}}

{{- define "provider.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") | quote }}
app.kubernetes.io/name: {{ include "provider.name" . | quote }}
app: {{ include "provider.name" . | quote }}
{{- end -}}

{{/* "true" if the values name the Go provider's image in Microsoft's registry. */}}
{{- define "provider.goImage" -}}
{{- regexMatch "^mcr[.]microsoft[.]com/oss/(v2/)?azure/secrets-store/provider-azure$" .Values.linux.image.repository -}}
{{- end -}}

{{- define "provider.image" -}}
{{- $image := .Values.linux.image -}}
{{- if eq (include "provider.goImage" .) "true" -}}
{{- printf "keyvault-csi-provider:%s" .Chart.AppVersion -}}
{{- else if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* kubelet's root directory; by default the one in the driver's values. */}}
{{- define "provider.kubeletRootDir" -}}
{{- $driver := index .Values "secrets-store-csi-driver" -}}
{{- if and $driver.install (eq .Values.linux.kubeletRootDir "/var/lib/kubelet") -}}
{{- $driver.linux.kubeletRootDir -}}
{{- else -}}
{{- .Values.linux.kubeletRootDir -}}
{{- end -}}
{{- end -}}

{{/* The port number of 8898, "8898" or ":8898". */}}
{{- define "provider.metricsPort" -}}
{{- trimPrefix ":" (toString .Values.metricsAddr) -}}
{{- end -}}

{{/* Whole seconds of a duration such as 1m30s, rounded up. */}}
{{- define "provider.seconds" -}}
{{- $milliseconds := 0 -}}
{{- range regexFindAll "[0-9]+(ms|h|m|s)" . -1 -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- $number := trimSuffix $unit . | int64 -}}
{{- $milliseconds = add $milliseconds (mul $number (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit)) -}}
{{- end -}}
{{- div (add $milliseconds 999) 1000 -}}
{{- end -}}

{{/* On the host's network the old pod uses the ports, so an update by surge would never finish. */}}
{{- define "provider.updateStrategy" -}}
{{- $goChart := dict "type" "RollingUpdate" "rollingUpdate" (dict "maxUnavailable" 1) -}}
{{- $given := .Values.linux.updateStrategy -}}
{{- if and $given (ne (toJson $given) (toJson $goChart)) -}}
{{- toYaml $given -}}
{{- else if .Values.linux.hostNetwork -}}
{{- toYaml $goChart -}}
{{- else -}}
{{- toYaml (dict "type" "RollingUpdate" "rollingUpdate" (dict "maxSurge" 1 "maxUnavailable" 0)) -}}
{{- end -}}
{{- end -}}

{{/* The ConfigMap that holds the policy, if there is one. */}}
{{- define "provider.policyConfigMap" -}}
{{- if .Values.policy.rules -}}
{{- printf "%s-policy" (include "provider.fullname" .) -}}
{{- else -}}
{{- .Values.policy.configMap -}}
{{- end -}}
{{- end -}}

{{/* The driver refuses larger responses; if this chart installs the driver, its values have the limit. */}}
{{- define "provider.maxResponseBytes" -}}
{{- $driver := index .Values "secrets-store-csi-driver" -}}
{{- if .Values.maxResponseBytes -}}
{{- int64 .Values.maxResponseBytes -}}
{{- else if and $driver.install $driver.maxCallRecvMsgSize -}}
{{- int64 $driver.maxCallRecvMsgSize -}}
{{- end -}}
{{- end -}}

{{/*
The container's resources. The kernel charges the pages of volumes that the provider writes to its container; their limit
is added to the default memory limit.
*/}}
{{- define "provider.resources" -}}
{{- $resources := deepCopy (.Values.linux.resources | default dict) -}}
{{- $limits := $resources.limits | default dict -}}
{{- if and (eq .Values.fileWriter "provider") (eq ($limits.memory | default "" | toString) "100Mi") -}}
{{- $mebibyte := 1048576 -}}
{{- $volumes := div (add (int64 .Values.volumeMemoryBytes) (sub $mebibyte 1)) $mebibyte -}}
{{- $_ := set $limits "memory" (printf "%dMi" (add 100 $volumes)) -}}
{{- end -}}
{{- if $resources }}{{ toYaml $resources }}{{ end -}}
{{- end -}}
