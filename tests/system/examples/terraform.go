// What Terraform does with the example, by its own language: it reads the file, evaluates the variables, the data sources of
// hashicorp/http, their conditions and the local values, and prints these. The data source asks as the provider does.
//
//	terraform DIRECTORY    the values of main.tf there, with TF_VAR_… from the environment
//	terraform --arguments DIRECTORY    the arguments and attributes of the data source that it uses
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

func fail(what any) {
	fmt.Fprintln(os.Stderr, what)
	os.Exit(1)
}

func must[T any](value T, err error) T {
	if err != nil {
		fail(err)
	}
	return value
}

func value(expression hcl.Expression, context *hcl.EvalContext) cty.Value {
	result, problems := expression.Value(context)
	if problems.HasErrors() {
		fail(problems)
	}
	return result
}

// functionOf makes a function of a text.
func functionOf(does func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(arguments []cty.Value, _ cty.Type) (cty.Value, error) {
			text, err := does(arguments[0].AsString())
			return cty.StringVal(text), err
		},
	})
}

// ask is the data source: one request, whatever is answered.
func ask(arguments map[string]cty.Value) cty.Value {
	request := must(http.NewRequest(http.MethodGet, arguments["url"].AsString(), nil))
	for name, text := range arguments["request_headers"].AsValueMap() {
		request.Header.Set(name, text.AsString())
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(arguments["ca_cert_pem"].AsString()))
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	response := must(client.Do(request))
	arguments["status_code"] = cty.NumberIntVal(int64(response.StatusCode))
	arguments["response_body"] = cty.StringVal(string(must(io.ReadAll(response.Body))))
	return cty.ObjectVal(arguments)
}

// used prints what an expression takes of the data source.
func used(expression hcl.Expression) {
	for _, path := range expression.Variables() {
		if root := path.RootName(); root == "self" || root == "data" {
			fmt.Println("attribute", path[len(path)-1].(hcl.TraverseAttr).Name)
		}
	}
}

func main() {
	directory := os.Args[len(os.Args)-1]
	listing := len(os.Args) > 2
	source := must(os.ReadFile(filepath.Join(directory, "main.tf")))
	if !bytes.Equal(source, hclwrite.Format(source)) {
		fail("terraform fmt would change it")
	}
	file, problems := hclsyntax.ParseConfig(source, "main.tf", hcl.InitialPos)
	if problems.HasErrors() {
		fail(problems)
	}
	variables := map[string]cty.Value{}
	context := &hcl.EvalContext{
		Variables: map[string]cty.Value{"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(directory)})},
		Functions: map[string]function.Function{
			"file": functionOf(func(name string) (string, error) {
				text, err := os.ReadFile(name)
				return string(text), err
			}),
			"jsondecode": stdlib.JSONDecodeFunc,
			"sensitive":  functionOf(func(text string) (string, error) { return text, nil }),
		},
	}
	blocks := file.Body.(*hclsyntax.Body).Blocks
	for _, block := range blocks {
		if block.Type != "variable" {
			continue
		}
		name := block.Labels[0]
		if given, isGiven := os.LookupEnv("TF_VAR_" + name); isGiven {
			variables[name] = cty.StringVal(given)
		} else if attribute := block.Body.Attributes["default"]; attribute != nil {
			variables[name] = value(attribute.Expr, context)
		} else if !listing {
			fail("No value for required variable " + name)
		}
	}
	context.Variables["var"] = cty.ObjectVal(variables)

	data := map[string]cty.Value{}
	for _, block := range blocks {
		if block.Type != "data" || block.Labels[0] != "http" {
			continue
		}
		arguments := map[string]cty.Value{}
		for name, attribute := range block.Body.Attributes {
			if listing {
				fmt.Println("argument", name)
				continue
			}
			arguments[name] = value(attribute.Expr, context)
		}
		if !listing {
			data[block.Labels[1]] = ask(arguments)
		}
		for _, condition := range block.Body.Blocks[0].Body.Blocks {
			attributes := condition.Body.Attributes
			if listing {
				used(attributes["condition"].Expr)
				used(attributes["error_message"].Expr)
				continue
			}
			inside := context.NewChild()
			inside.Variables = map[string]cty.Value{"self": data[block.Labels[1]]}
			if value(attributes["condition"].Expr, inside).False() {
				fail(value(attributes["error_message"].Expr, inside).AsString())
			}
		}
	}
	if !listing {
		context.Variables["data"] = cty.ObjectVal(map[string]cty.Value{"http": cty.ObjectVal(data)})
	}
	for _, block := range blocks {
		if block.Type != "locals" {
			continue
		}
		for name, attribute := range block.Body.Attributes {
			if listing {
				used(attribute.Expr)
				continue
			}
			fmt.Printf("%s = %s\n", name, value(attribute.Expr, context).AsString())
		}
	}
}
