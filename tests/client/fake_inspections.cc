// The inspection service of the fake server.
#include <cstddef>
#include <memory>
#include <vector>

#include "tests/client/fake_answers.h"
#include "tests/client/fake_server.h"
#include "tests/client/fake_services.h"

namespace heed::testing {
namespace {

class Inspections final : public v1::InspectionService::Service {
 public:
  explicit Inspections(FakeServer* fake) : fake_(fake) {}

  grpc::Status GetAttention(grpc::ServerContext*, const v1::GetAttentionRequest* request,
                            grpc::ServerWriter<v1::GetAttentionResponse>* writer) override {
    grpc::Status status = fake_->BeginModelCall("GetAttention", request->model());
    if (!status.ok()) return status;
    fake_->Keep(*request, fake_->last_attention);
    FakeScript script = fake_->script;
    script.causal = fake_->IsCausal(request->model());
    v1::GetAttentionResponse first;
    v1::AttentionHeader* header = first.mutable_header();
    FillIdentity(request->model(), header->mutable_model());
    FillPrompt(request->prompt(), header->mutable_prompt());
    const int64_t keys = header->prompt().tokens_size();
    const auto layers = Resolve<int>(request->selection().layers(), script.layers);
    const auto heads = Resolve<int>(request->selection().heads(), script.heads);
    const auto queries = Resolve<int64_t>(request->selection().queries(), keys);
    header->mutable_layers()->Add(layers.begin(), layers.end());
    header->mutable_heads()->Add(heads.begin(), heads.end());
    header->mutable_queries()->Add(queries.begin(), queries.end());
    header->set_key_count(keys);
    header->set_causal(script.causal);
    header->set_total_bytes(static_cast<int64_t>(layers.size() * heads.size() * queries.size()) *
                            keys * 4);
    Write(first, writer);
    int64_t tiles = 0;
    for (int layer : layers) {
      for (int head : heads)
        tiles += WriteHead(*request, script, layer, head, queries, keys, writer);
    }
    v1::GetAttentionResponse last;
    last.mutable_end()->set_tile_count(tiles);
    FillTimings(last.mutable_end()->mutable_timings());
    Write(last, writer);
    return grpc::Status::OK;
  }

 private:
  // One head in two tiles, so that putting them together is tried. Returns how many tiles there
  // were.
  int64_t WriteHead(const v1::GetAttentionRequest& request, const FakeScript& script, int layer,
                    int head, const std::vector<int64_t>& queries, int64_t keys,
                    grpc::ServerWriter<v1::GetAttentionResponse>* writer) {
    const auto middle = queries.begin() + static_cast<std::ptrdiff_t>(queries.size() / 2);
    int64_t count = 0;
    for (const auto& part : {std::vector<int64_t>(queries.begin(), middle),
                             std::vector<int64_t>(middle, queries.end())}) {
      if (part.empty()) continue;
      v1::GetAttentionResponse response;
      *response.mutable_tile() =
          MakeTile(script, layer, head, part, keys, request.selection().top_k().k());
      Write(response, writer);
      ++count;
    }
    return count;
  }

  void Write(v1::GetAttentionResponse& message,
             grpc::ServerWriter<v1::GetAttentionResponse>* writer) {
    const auto& edit = fake_->script.edit_attention;
    if (!edit || edit(message)) writer->Write(message);
  }

  FakeServer* fake_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeFakeInspections(FakeServer* fake) {
  return std::make_unique<Inspections>(fake);
}

}  // namespace heed::testing
