module keyvault-csi-provider.test/cluster

go 1.25
