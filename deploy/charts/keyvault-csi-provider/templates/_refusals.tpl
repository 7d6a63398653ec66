{{/*
Refuses values that cannot work: reports all of them at once, each with a fix. values.schema.json has already checked
types and ranges.
*/}}
{{- define "provider.refuse" -}}
{{- $found := concat
  ((include "refuse.goChart" .) | fromJsonArray)
  ((include "refuse.formats" .) | fromJsonArray)
  ((include "refuse.pairs" .) | fromJsonArray)
  ((include "refuse.driver" .) | fromJsonArray) -}}
{{- with $found -}}
{{- printf "\n\n  %s\n" (join "\n  " .) | fail -}}
{{- end -}}
{{- end -}}

{{/* Values of the Go provider's chart that this provider does not support. */}}
{{- define "refuse.goChart" -}}
{{- $found := list -}}
{{- $image := .Values.linux.image.repository -}}
{{- if .Values.windows.enabled -}}
{{- $found = append $found "windows.enabled: there is no provider for Windows nodes; set it to false, and use the Go provider's chart for them (with linux.enabled=false)" -}}
{{- end -}}
{{- if .Values.enableArcExtension -}}
{{- $found = append $found "enableArcExtension: the Azure Arc extension installs its own provider; set it to false" -}}
{{- end -}}
{{- if .Values.rbac.pspEnabled -}}
{{- $found = append $found "rbac.pspEnabled: Kubernetes removed PodSecurityPolicy in 1.25; set it to false" -}}
{{- end -}}
{{- if .Values.cloud.environment -}}
{{- $found = append $found "cloud.environment: not supported; set the parameter cloudEnvFileName in the class, and mount the file with linux.volumes and linux.volumeMounts" -}}
{{- end -}}
{{- if and (hasSuffix "secrets-store/provider-azure" $image) (ne (include "provider.goImage" .) "true") -}}
{{- $found = append $found (printf "linux.image.repository: %s is the Go provider's image; set the repository of this provider's image" $image) -}}
{{- end -}}
{{- if and (not .Values.linux.image.digest) (regexMatch "^v1[.][0-9]+[.][0-9]+" (toString .Values.linux.image.tag)) (ne (include "provider.goImage" .) "true") -}}
{{- $found = append $found (printf "linux.image.tag: %s is a version of the Go provider; add --set linux.image.tag= to use %s, or set a tag of this provider's image" (toString .Values.linux.image.tag) .Chart.AppVersion) -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "refuse.formats" -}}
{{- $found := list -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$" .Values.providerName) -}}
{{- $found = append $found (printf "providerName: %q cannot be the name of a socket and a DaemonSet; use 1 to 30 characters of a-z, 0-9 and -" .Values.providerName) -}}
{{- end -}}
{{- $port := include "provider.metricsPort" . -}}
{{- if not (and (regexMatch "^[0-9]{1,5}$" $port) (le (int $port) 65535)) -}}
{{- $found = append $found (printf "metricsAddr: %q is not a port; use a port such as 8898, or 0 to disable" (toString .Values.metricsAddr)) -}}
{{- else if eq (int $port) (int .Values.linux.healthzPort) -}}
{{- $found = append $found "metricsAddr and linux.healthzPort: both have the same port; set two different ports" -}}
{{- end -}}
{{- if or (lt (int .Values.linux.healthzPort) 1) (gt (int .Values.linux.healthzPort) 65535) -}}
{{- $found = append $found (printf "linux.healthzPort: %d is not a port; use a port such as 8989" (int .Values.linux.healthzPort)) -}}
{{- end -}}
{{- if gt (int .Values.logVerbosity) 10 -}}
{{- $found = append $found (printf "logVerbosity: %d exceeds the maximum, 10" (int .Values.logVerbosity)) -}}
{{- end -}}
{{- range $name, $duration := dict
  "linux.healthzTimeout" .Values.linux.healthzTimeout
  "drainTimeout" .Values.drainTimeout
  "rotationMaxAge" .Values.rotationMaxAge
  "rotationMaxAgeLimit" .Values.rotationMaxAgeLimit
  "staleIfError" .Values.staleIfError -}}
{{- if not (regexMatch "^([0-9]{1,9}(ms|h|m|s))+$" $duration) -}}
{{- $found = append $found (printf "%s: %q is not a duration; use one such as 30s, 1m30s or 24h" $name $duration) -}}
{{- end -}}
{{- end -}}
{{- range $name, $path := dict
  "linux.healthzPath" .Values.linux.healthzPath
  "linux.kubeletRootDir" .Values.linux.kubeletRootDir
  "linux.providersDir" .Values.linux.providersDir -}}
{{- if not (regexMatch "^/[-A-Za-z0-9._~/]*$" $path) -}}
{{- $found = append $found (printf "%s: %q is not an absolute path" $name $path) -}}
{{- end -}}
{{- end -}}
{{- with .Values.cloud.name -}}
{{- if not (regexMatch "(?i)^Azure(PublicCloud|Cloud|USGovernmentCloud|USGovernment|ChinaCloud|GermanCloud|StackCloud)$" .) -}}
{{- $found = append $found (printf "cloud.name: %q is not a cloud; use AzurePublicCloud, AzureUSGovernmentCloud, AzureChinaCloud, AzureGermanCloud or AzureStackCloud" .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.defaultTenantID -}}
{{- if not (regexMatch "^[A-Za-z0-9.-]{1,253}$" .) -}}
{{- $found = append $found (printf "defaultTenantID: %q is not a tenant; use the ID that `az account show --query tenantId` prints" .) -}}
{{- end -}}
{{- end -}}
{{- range .Values.allowedVaultSuffixes -}}
{{- if not (regexMatch "^[.]?[A-Za-z0-9-]+([.][A-Za-z0-9-]+)*(:[0-9]+)?$" .) -}}
{{- $found = append $found (printf "allowedVaultSuffixes: %q is not a DNS suffix; use one such as vault.azure.net" .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.tokenProxy.url -}}
{{- if not (regexMatch "^https://[^/ ]+" .) -}}
{{- $found = append $found (printf "tokenProxy.url: %q is not an https URL" .) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Values that contradict each other. */}}
{{- define "refuse.pairs" -}}
{{- $found := list -}}
{{- if ne (empty .Values.serviceAccountJwks) (empty .Values.serviceAccountIssuer) -}}
{{- $found = append $found "serviceAccountJwks and serviceAccountIssuer must be set together: keys prove only the tokens of their issuer" -}}
{{- end -}}
{{- if and .Values.policy.rules .Values.policy.configMap -}}
{{- $found = append $found "policy.rules and policy.configMap: only one can be set; remove one of them" -}}
{{- end -}}
{{- $age := include "provider.seconds" .Values.rotationMaxAge | int64 -}}
{{- $limit := include "provider.seconds" .Values.rotationMaxAgeLimit | int64 -}}
{{- if gt $age $limit -}}
{{- $found = append $found (printf "rotationMaxAge: %s exceeds rotationMaxAgeLimit (%s)" .Values.rotationMaxAge .Values.rotationMaxAgeLimit) -}}
{{- end -}}
{{- if and (ne .Values.monitoring.scrape "none") (eq (include "provider.metricsPort" .) "0") -}}
{{- $found = append $found (printf "monitoring.scrape: %s needs metrics, but metricsAddr is 0; set metricsAddr to a port, or scrape to none" .Values.monitoring.scrape) -}}
{{- end -}}
{{- $rolling := (.Values.linux.updateStrategy).rollingUpdate | default dict -}}
{{- if and .Values.linux.hostNetwork $rolling.maxSurge (ne (toString $rolling.maxSurge) "0") -}}
{{- $found = append $found "linux.updateStrategy: maxSurge does not work with linux.hostNetwork=true, because two pods would use the same ports; set linux.hostNetwork=false, or remove maxSurge" -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Values that contradict those of the driver that this chart installs. */}}
{{- define "refuse.driver" -}}
{{- $found := list -}}
{{- $driver := index .Values "secrets-store-csi-driver" -}}
{{- if $driver.install -}}
{{- $folders := concat (list $driver.linux.providersDir) ($driver.linux.additionalProvidersDirs | default list) -}}
{{- if not (has .Values.linux.providersDir $folders) -}}
{{- $found = append $found (printf "linux.providersDir: the driver looks for sockets in %s, not in %s; set the driver's linux.providersDir or linux.additionalProvidersDirs" (join " and " $folders) .Values.linux.providersDir) -}}
{{- end -}}
{{- if and (eq .Values.fileWriter "provider") (ne (include "provider.kubeletRootDir" .) $driver.linux.kubeletRootDir) -}}
{{- $found = append $found (printf "linux.kubeletRootDir: %s differs from %s in secrets-store-csi-driver.linux; set it only there" .Values.linux.kubeletRootDir $driver.linux.kubeletRootDir) -}}
{{- end -}}
{{- if and $driver.enableSecretRotation (include "provider.oldDriver" .) -}}
{{- $found = append $found (printf "secrets-store-csi-driver.linux.image.tag: driver %s cannot rotate with the permissions of the driver's chart 1.6; remove the driver's images from your values" $driver.linux.image.tag) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* "true" if the values pin a driver older than the driver's chart needs. */}}
{{- define "provider.oldDriver" -}}
{{- $tag := (index .Values "secrets-store-csi-driver").linux.image.tag | toString -}}
{{- if regexMatch "^v?(0|1[.][0-5])[.]" $tag -}}true{{- end -}}
{{- end -}}
