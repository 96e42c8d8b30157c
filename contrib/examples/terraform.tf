# Terraform and OpenTofu read a secret of jarvis-secretsd by the data source of hashicorp/http.
#
#     TF_VAR_jarvis_token=jst_… terraform apply
#
# The value gets into the state, and so does the token, both in plain text: keep the state where only those can read it who may
# read the secret. Where the program that needs the secret can read it itself, leave Terraform out of it.

terraform {
  required_providers {
    http = {
      source  = "hashicorp/http"
      version = ">= 3.4"
    }
  }
}

variable "jarvis_url" {
  type    = string
  default = "https://secrets.example.org:8081"
}

variable "jarvis_token" {
  type      = string
  sensitive = true
}

data "http" "shop_database_password" {
  url         = "${var.jarvis_url}/secret/shop_database_password"
  ca_cert_pem = file("${path.module}/ca.pem")
  request_headers = {
    Authorization = "Bearer ${var.jarvis_token}"
  }

  lifecycle {
    postcondition {
      condition     = self.status_code == 200
      error_message = "jarvis-secretsd: ${self.status_code}: ${jsondecode(self.response_body).message}"
    }
  }
}

locals {
  shop_database_password = sensitive(jsondecode(data.http.shop_database_password.response_body).value)
}
