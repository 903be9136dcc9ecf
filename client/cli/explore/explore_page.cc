#include "client/cli/explore/explore_page.h"

#include "client/cli/pages/page.h"
#include "client/cli/request/inspect_calls.h"
#include "google/protobuf/util/json_util.h"

namespace heed::cli {

std::string ExplorePage(const ExplorePageData& data) {
  const v1::ExploreOpened& opened = data.response.opened();
  Page page(SourceOf(opened.provenance(), data.edits));
  JsonWriter& json = page.json();
  json.Key("live").Bool(data.live);
  json.Key("server").String(data.server);
  json.Key("command").String(data.command);
  json.Key("at_or_after").String(data.at_or_after);
  json.Key("request").Raw(ToWireJson(data.request));
  json.Key("response").Raw(ToWireJson(data.response));
  json.Key("recorded").BeginArray();
  for (const auto& [request, response] : data.recorded) {
    json.BeginObject();
    json.Key("request").Raw(ToWireJson(request));
    json.Key("response").Raw(ToWireJson(response));
    json.EndObject();
  }
  json.EndArray();
  return page.Finish(kExploreScript, PageTitle(data.live ? "explore" : "explain",
                                               VisibleWireTokens(opened.prompt())));
}

std::string ToWireJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  return status.ok() ? json : "null";
}

}  // namespace heed::cli
