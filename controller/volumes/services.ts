import type { ServiceDefinition } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

/**
 * The services that the driver has, with the messages and fields that it reads or sets; protobuf passes over what a reader
 * does not know, and what is not served is answered UNIMPLEMENTED. Names and numbers are those of csi.proto
 * (container-storage-interface/spec, v1.12), here without comments.
 */
const csi = `
  syntax = "proto3";
  package csi.v1;

  service Identity {
    rpc GetPluginInfo(GetPluginInfoRequest) returns (GetPluginInfoResponse) {}
    rpc GetPluginCapabilities(GetPluginCapabilitiesRequest) returns (GetPluginCapabilitiesResponse) {}
    rpc Probe(ProbeRequest) returns (ProbeResponse) {}
  }
  message GetPluginInfoRequest {}
  message GetPluginInfoResponse {
    string name = 1;
    string vendor_version = 2;
  }
  message GetPluginCapabilitiesRequest {}
  message GetPluginCapabilitiesResponse {}
  message ProbeRequest {}
  message ProbeResponse {}

  service Node {
    rpc NodePublishVolume(NodePublishVolumeRequest) returns (NodePublishVolumeResponse) {}
    rpc NodeUnpublishVolume(NodeUnpublishVolumeRequest) returns (NodeUnpublishVolumeResponse) {}
    rpc NodeGetCapabilities(NodeGetCapabilitiesRequest) returns (NodeGetCapabilitiesResponse) {}
    rpc NodeGetInfo(NodeGetInfoRequest) returns (NodeGetInfoResponse) {}
  }
  message NodePublishVolumeRequest {
    string volume_id = 1;
    string target_path = 4;
    map<string, string> volume_context = 8;
  }
  message NodePublishVolumeResponse {}
  message NodeUnpublishVolumeRequest {
    string volume_id = 1;
    string target_path = 2;
  }
  message NodeUnpublishVolumeResponse {}
  message NodeGetCapabilitiesRequest {}
  message NodeGetCapabilitiesResponse {}
  message NodeGetInfoRequest {}
  message NodeGetInfoResponse {
    string node_id = 1;
  }
`;

/** kubernetes/kubelet, pkg/apis/pluginregistration/v1/api.proto: whole. */
const registration = `
  syntax = "proto3";
  package pluginregistration;

  service Registration {
    rpc GetInfo(InfoRequest) returns (PluginInfo) {}
    rpc NotifyRegistrationStatus(RegistrationStatus) returns (RegistrationStatusResponse) {}
  }
  message InfoRequest {}
  message PluginInfo {
    string type = 1;
    string name = 2;
    string endpoint = 3;
    repeated string supported_versions = 4;
  }
  message RegistrationStatus {
    bool plugin_registered = 1;
    string error = 2;
  }
  message RegistrationStatusResponse {}
`;

function serviceIn(proto: string, name: string): ServiceDefinition {
  const { root } = protobuf.parse(proto, { keepCase: true });
  const found = fromJSON(root.toJSON(), { keepCase: true, defaults: true })[name];
  if (found === undefined || typeof found['format'] === 'string') throw new RangeError(`no service ${name}`);
  return found;
}

export const services = {
  identity: serviceIn(csi, 'csi.v1.Identity'),
  node: serviceIn(csi, 'csi.v1.Node'),
  registration: serviceIn(registration, 'pluginregistration.Registration'),
} as const;
