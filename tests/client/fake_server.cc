#include "tests/client/fake_server.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/base/const_init.h"
#include "absl/strings/str_cat.h"
#include "grpcpp/health_check_service_interface.h"
#include "tests/client/fake_services.h"

namespace heed::testing {
namespace {

// gRPC remembers for the life of a process how often calls to an address failed, and stops retrying
// them. So no two servers of a process share a port.
bool IsFirstUseOfPort(int port) {
  static absl::Mutex mutex(absl::kConstInit);
  static auto* const used = new std::set<int>;
  absl::MutexLock lock(&mutex);
  return used->insert(port).second;
}

}  // namespace

FakeServer::FakeServer() {
  grpc::EnableDefaultHealthCheckService(true);
  services_.push_back(MakeFakeModels(this));
  services_.push_back(MakeFakePredictions(this));
  services_.push_back(MakeFakeInspections(this));
  services_.push_back(MakeFakeEmbeddings(this));
  services_.push_back(MakeFakeExperiments(this));
  int port = 0;
  do {
    Shutdown();
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 100);  // as heed-server's
    for (const auto& service : services_) builder.RegisterService(service.get());
    server_ = builder.BuildAndStart();
  } while (!IsFirstUseOfPort(port));
  address_ = absl::StrCat("127.0.0.1:", port);
  for (const char* service :
       {"heed.v1.ModelService", "heed.v1.PredictionService", "heed.v1.InspectionService",
        "heed.v1.ExperimentService", "heed.v1.EmbeddingService"}) {
    SetServing(service, true);
  }
}

FakeServer::~FakeServer() {
  Shutdown();
}

void FakeServer::Shutdown() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  server_.reset();
}

void FakeServer::SetServing(const std::string& service, bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(service, serving);
}

void FakeServer::FailNext(int count, grpc::Status status) {
  absl::MutexLock lock(&mutex_);
  failures_left_ = count;
  failure_ = std::move(status);
}

grpc::Status FakeServer::BeginCall() {
  ++call_count_;
  absl::MutexLock lock(&mutex_);
  if (failures_left_ == 0) return grpc::Status::OK;
  --failures_left_;
  return failure_;
}

grpc::Status FakeServer::BeginModelCall(const std::string& rpc, const std::string& model) {
  if (grpc::Status status = BeginCall(); !status.ok()) return status;
  return script.refuse ? script.refuse(rpc, model) : grpc::Status::OK;
}

bool FakeServer::IsLoaded(const std::string& model) const {
  return model.empty() ||
         std::find(script.models.begin(), script.models.end(), model) != script.models.end();
}

bool FakeServer::IsCausal(const std::string& model) const {
  const std::string& name = model.empty() ? script.models.front() : model;
  const auto& both = script.bidirectional;
  return script.causal && std::find(both.begin(), both.end(), name) == both.end();
}

v1::Model FakeServer::Model(const std::string& name) const {
  v1::Model model;
  FillIdentity(name, model.mutable_identity());
  model.set_architecture("llama");
  model.set_direction(IsCausal(name) ? v1::ATTENTION_DIRECTION_CAUSAL
                                     : v1::ATTENTION_DIRECTION_BIDIRECTIONAL);
  model.set_parameter_count(1234567);
  model.set_layer_count(script.layers);
  model.set_head_count(script.heads);
  model.set_kv_head_count(1);
  model.set_head_dim(64);
  model.set_hidden_size(128);
  model.set_feed_forward_size(512);
  model.set_mixing(v1::MIXING_PATTERN_ATTENTION);
  model.set_vocabulary_size(1000);
  model.set_context_window(256);
  model.set_checkpoint_dtype("BF16");
  model.set_compute_dtype("F32");
  model.set_kv_cache_dtype("F16");
  model.set_weight_bytes(4938268);
  model.mutable_tokenizer()->set_kind("byte-level BPE");
  model.mutable_tokenizer()->set_vocabulary_size(998);
  model.mutable_tokenizer()->add_end_of_text_ids(0);
  if (!IsCausal(name)) {
    model.mutable_tokenizer()->set_mask_id(kFakeMaskId);
    model.mutable_tokenizer()->set_mask_text(kFakeMask);
  }
  model.set_mixing(script.mixing);
  for (v1::Capability capability : script.capabilities) model.add_capabilities(capability);
  return model;
}

}  // namespace heed::testing
